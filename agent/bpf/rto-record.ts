/** The records of native/bpf/rto.h, and the settings and counters that go with them. */
import type { Address, Token } from '../model.ts';

/** One expiry of a subflow's retransmission timer, as the kernel saw it. */
export interface RtoRecord {
  /** CLOCK_MONOTONIC in nanoseconds: compare with process.hrtime.bigint(). */
  readonly at: bigint;
  readonly netns: bigint;
  /** The inode number of the socket's cgroup v2 directory. */
  readonly cgroup: bigint;
  readonly token: Token;
  readonly local: Address;
  readonly remote: Address;
  /** The timeout that expired, the one that it backed off to, and the smoothed round trip, in µs. */
  readonly expired: number;
  readonly rto: number;
  readonly srtt: number;
  readonly sndUna: number;
  /** Doublings since the last acknowledgement, this one included. */
  readonly backoff: number;
  /** As include/net/tcp_states.h numbers them. */
  readonly state: number;
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
  };
}

/** `netns` 0 means all namespaces. `sockops`: rto_sockops is attached beside rto_retransmit. */
export function encodeRtoSettings(netns: bigint, tickMicroseconds: number, sockops: boolean): Buffer {
  const settings = Buffer.alloc(16);
  settings.writeBigUInt64LE(netns, 0);
  settings.writeUInt32LE(tickMicroseconds, 8);
  settings.writeUInt32LE(sockops ? 1 : 0, 12);
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
