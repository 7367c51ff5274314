/**
 * The segments of a ping. Asked is with a SYN that joins a connection nobody has: a peer that speaks MPTCP answers
 * with a reset and keeps nothing (RFC 8684, section 3.2), and one that does not answers with a SYN/ACK, which our own
 * kernel resets. Neither is seen by an application.
 */
import type { Address } from '../model.ts';
import { isIp4, putIp4, putIp6 } from '../netlink/ip.ts';

/** TCP header (RFC 9293, section 3.1) and MP_JOIN. */
export const PING_LENGTH = 20 + 12;
const PROTOCOL = 6;
const SYN = 2;
const MPTCP_OPTION = 30;
const MP_JOIN = 1 << 4;
const WINDOW = 0xffff;

/** Writes the ping to the beginning of `bytes`; `token` should be one that the peer does not know. */
export function encodePing(bytes: Uint8Array, from: Address, to: Address, token: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  bytes.fill(0, 0, PING_LENGTH);
  view.setUint16(0, from.port);
  view.setUint16(2, to.port);
  view.setUint32(4, token); // any sequence number will do
  view.setUint8(12, (PING_LENGTH / 4) << 4);
  view.setUint8(13, SYN);
  view.setUint16(14, WINDOW);
  view.setUint8(20, MPTCP_OPTION);
  view.setUint8(21, 12);
  view.setUint8(22, MP_JOIN);
  view.setUint32(24, token);
  view.setUint16(16, checksum(pseudoHeader(from.ip, to.ip), view));
}

/** The ports of what came, ours first; undefined when it is no TCP segment. IPv4 comes with its header. */
export function decodePong(
  view: DataView,
  from: number,
  to: number,
  ip4: boolean,
): [ours: number, theirs: number] | undefined {
  const at = ip4 && from < to ? from + 4 * (view.getUint8(from) & 15) : from;
  return at + 4 <= to ? [view.getUint16(at + 2), view.getUint16(at)] : undefined;
}

function pseudoHeader(from: string, to: string): DataView {
  const length = isIp4(from) ? 4 : 16;
  const view = new DataView(new ArrayBuffer(2 * length + 4));
  const put = isIp4(from) ? putIp4 : putIp6;
  put(view, 0, from);
  put(view, length, to);
  view.setUint16(2 * length, PROTOCOL);
  view.setUint16(2 * length + 2, PING_LENGTH);
  return view;
}

/** RFC 1071. */
function checksum(pseudo: DataView, segment: DataView): number {
  let sum = 0;
  for (let at = 0; at < pseudo.byteLength; at += 2) sum += pseudo.getUint16(at);
  for (let at = 0; at < PING_LENGTH; at += 2) sum += segment.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
