/** The records of native/bpf/rto.h, and the settings and counters that go with them. */
import type { Address, Event, Token } from '../model.ts';

/** One expiry of a subflow's retransmission timer, or a connection's first data after a silence, as the kernel saw it. */
export interface RtoRecord {
  /** CLOCK_MONOTONIC in nanoseconds: compare with process.hrtime.bigint(). */
  readonly at: bigint;
  readonly netns: bigint;
  /** The inode number of the socket's cgroup v2 directory. */
  readonly cgroup: bigint;
  readonly token: Token;
  readonly local: Address;
  readonly remote: Address;
  /** The timeout that expired (0 after a silence), the one that follows, and the smoothed round trip, in µs. */
  readonly expired: number;
  readonly rto: number;
  readonly srtt: number;
  readonly sndUna: number;
  /** Doublings since the last acknowledgement, one that begins now included. */
  readonly backoff: number;
  /** As include/net/tcp_states.h numbers them. */
  readonly state: number;
  /** How long no data had been sent, in ms; 0 for an expiry. */
  readonly silence: number;
}

export const RTO_RECORD_SIZE = 88;

const AF_INET = 2;

export function decodeRto(records: Buffer, index: number): RtoRecord {
  const record = records.subarray(index * RTO_RECORD_SIZE, (index + 1) * RTO_RECORD_SIZE);
  const text = record.readUInt16LE(44) === AF_INET ? ip4 : ip6;
  return {
    at: record.readBigUInt64LE(0),
    netns: record.readBigUInt64LE(8),
    cgroup: record.readBigUInt64LE(16),
    token: record.readUInt32LE(24),
    expired: record.readUInt32LE(28),
    rto: record.readUInt32LE(32),
    srtt: record.readUInt32LE(36),
    sndUna: record.readUInt32LE(40),
    local: { ip: text(record.subarray(52, 68)), port: record.readUInt16LE(46) },
    remote: { ip: text(record.subarray(68, 84)), port: record.readUInt16LE(48) },
    backoff: record.readUInt8(50),
    state: record.readUInt8(51),
    silence: record.readUInt32LE(84),
  };
}

export type RtoEvent = Extract<Event, { kind: 'stalled' | 'resumed' }>;

export function rtoEvent({ token, local, remote, rto, silence }: RtoRecord): RtoEvent {
  return silence > 0
    ? { kind: 'resumed', token, silence }
    : { kind: 'stalled', token, local, remote, rto: rto / 1000 };
}

/** IPv4 only: a record as the kernel would write it. */
export function encodeRto(record: RtoRecord): Buffer {
  const bytes = Buffer.alloc(RTO_RECORD_SIZE);
  bytes.writeBigUInt64LE(record.at, 0);
  bytes.writeBigUInt64LE(record.netns, 8);
  bytes.writeBigUInt64LE(record.cgroup, 16);
  const { token, expired, rto, srtt, sndUna } = record;
  for (const [i, value] of [token, expired, rto, srtt, sndUna].entries())
    bytes.writeUInt32LE(value, 24 + 4 * i);
  const { local, remote } = record;
  for (const [i, value] of [AF_INET, local.port, remote.port].entries())
    bytes.writeUInt16LE(value, 44 + 2 * i);
  bytes.set([record.backoff, record.state], 50);
  bytes.set(local.ip.split('.').map(Number), 52);
  bytes.set(remote.ip.split('.').map(Number), 68);
  bytes.writeUInt32LE(record.silence, 84);
  return bytes;
}

/**
 * `netns` 0 means all namespaces. `sockops`: rto_sockops is attached beside rto_retransmit. Silences shorter
 * than `silence` ms are not told.
 */
export function encodeRtoSettings(
  netns: bigint,
  tickMicroseconds: number,
  sockops: boolean,
  silence: number,
): Buffer {
  const settings = Buffer.alloc(24);
  settings.writeBigUInt64LE(netns, 0);
  settings.writeUInt32LE(tickMicroseconds, 8);
  settings.writeUInt32LE(sockops ? 1 : 0, 12);
  settings.writeUInt32LE(silence, 16);
  return settings;
}

export function decodeRtoCounters(counters: Buffer) {
  return {
    dropped: Number(counters.readBigUInt64LE(0)),
    adopted: Number(counters.readBigUInt64LE(8)),
    refused: Number(counters.readBigUInt64LE(16)),
  };
}

function ip4(bytes: Buffer): string {
  return bytes.subarray(0, 4).join('.');
}

function ip6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return ip4(bytes.subarray(12));
  const full = groups.map((group) => group.toString(16)).join(':');
  return new URL(`http://[${full}]`).hostname.slice(1, -1);
}
