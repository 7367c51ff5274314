/** struct tcp_info and struct mptcp_info (linux/tcp.h, linux/mptcp.h): kernels append fields, and never move them. */
import type { ConnectionStats, Millis, Stats, TcpState } from '../model.ts';
import { CodecError, LITTLE_ENDIAN, u64At } from './attributes.ts';

/** By number, from 1 (include/net/tcp_states.h). */
export const TCP_STATES: readonly TcpState[] = [
  'established',
  'syn-sent',
  'syn-recv',
  'fin-wait-1',
  'fin-wait-2',
  'time-wait',
  'close',
  'close-wait',
  'last-ack',
  'listen',
  'closing',
  'new-syn-recv',
];

export function tcpState(number: number): TcpState {
  const state = TCP_STATES[number - 1];
  if (state === undefined) throw new CodecError(`unknown TCP state ${number}`);
  return state;
}

/** Up to tcpi_delivery_rate: Linux 4.9, older than MPTCP. */
const LEAST_TCP_INFO = 168;
/** Up to mptcpi_rcv_nxt: Linux 5.16. */
const LEAST_MPTCP_INFO = 40;
const MPTCP_INFO_FLAG_FALLBACK = 1;

export function tcpInfo(view: DataView, from: number, to: number, at: Millis): Stats {
  if (to - from < LEAST_TCP_INFO) throw new CodecError('tcp_info is too short');
  const u32 = (offset: number): number => view.getUint32(from + offset, LITTLE_ENDIAN);
  const u64 = (offset: number): number => (from + offset + 8 <= to ? u64At(view, from + offset) : 0);
  return {
    at,
    state: tcpState(view.getUint8(from)),
    srtt: u32(68) / 1000,
    rttvar: u32(72) / 1000,
    rto: u32(8) / 1000,
    backoff: view.getUint8(from + 4),
    retransmits: view.getUint8(from + 2),
    totalRetransmits: u32(100),
    congestionWindow: u32(80),
    mss: u32(16),
    unacked: u32(24),
    pacingRate: u64(104),
    deliveryRate: u64(160),
    bytesSent: u64(200),
    bytesAcked: u64(120),
    bytesReceived: u64(128),
    bytesRetransmitted: u64(208),
    notSent: u32(144),
    lastDataSent: u32(44),
    lastAckReceived: u32(56),
  };
}

/**
 * Data sequence numbers start anywhere in 64 bits, so that as such a number would round them. Modulo 2^53
 * their differences stay exact.
 */
function sequenceAt(view: DataView, at: number): number {
  const high = view.getUint32(LITTLE_ENDIAN ? at + 4 : at, LITTLE_ENDIAN) & 0x1fffff;
  return high * 0x1_0000_0000 + view.getUint32(LITTLE_ENDIAN ? at : at + 4, LITTLE_ENDIAN);
}

export function mptcpInfo(view: DataView, from: number, to: number, at: Millis): ConnectionStats {
  if (to - from < LEAST_MPTCP_INFO) throw new CodecError('mptcp_info is too short');
  const u64 = (offset: number): number => (from + offset + 8 <= to ? u64At(view, from + offset) : 0);
  return {
    at,
    // mptcpi_subflows does not count the first one; mptcpi_subflows_total (6.7) does, and knows when that has gone.
    subflows: from + 80 < to ? view.getUint8(from + 80) : view.getUint8(from) + 1,
    fallback: (view.getUint32(from + 8, LITTLE_ENDIAN) & MPTCP_INFO_FLAG_FALLBACK) !== 0,
    writeSeq: sequenceAt(view, from + 16),
    sndUna: sequenceAt(view, from + 24),
    rcvNxt: sequenceAt(view, from + 32),
    bytesSent: u64(56),
    bytesAcked: u64(72),
    bytesReceived: u64(64),
    bytesRetransmitted: u64(48),
  };
}

export function mptcpToken(view: DataView, from: number): number {
  return view.getUint32(from + 12, LITTLE_ENDIAN);
}
