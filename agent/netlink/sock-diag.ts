/**
 * Sockets as the kernel's sock_diag shows them (linux/inet_diag.h): subflows with tcp_info and their MPTCP
 * part (ULP info), connections with mptcp_info. Exact lookups for what is watched, dumps for start and resync.
 */
import type { Address, ConnectionStats, Millis, Stats, TcpState, Token } from '../model.ts';
import type { Addon } from './addon.ts';
import {
  Attributes,
  CodecError,
  LITTLE_ENDIAN,
  nested,
  text,
  u8,
  u32,
  u64,
  type Wire,
  type Writer,
} from './attributes.ts';
import { ip4Text, ip6Text, isIp4, putIp4, putIp6 } from './ip.ts';
import type { Message } from './message.ts';
import { Channel, NETLINK_SOCK_DIAG, refusal } from './socket.ts';
import { inUse, type Protocol } from './socket-counts.ts';
import { mptcpInfo, mptcpToken, TCP_STATES, tcpInfo, tcpState } from './tcp-info.ts';

const SOCK_DIAG_BY_FAMILY = 20;
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;
const IPPROTO_RAW = 255;
const IPPROTO_MPTCP = 262;
/** Bits of idiag_ext are numbered from INET_DIAG_MEMINFO, 1. */
const WANT_INFO = 1 << (2 - 1);
const NO_COOKIE = 0xffffffff;
const ENOENT = 2;
const ESTALE = 116;

/** Where an attribute lies. */
const span: Wire<{ readonly from: number; readonly to: number }> = {
  min: 0,
  get: (_, from, to) => ({ from, to }),
  put(): never {
    throw new CodecError('a span is only read');
  },
};

/** Attribute set `subflow-attribute` of Documentation/netlink/specs/mptcp_pm.yaml. */
const SUBFLOW = new Attributes({
  tokenRem: [1, u32],
  tokenLoc: [2, u32],
  flags: [8, u32],
  idRem: [9, u8],
  idLoc: [10, u8],
});
const DIAG = new Attributes({
  info: [2, span],
  mark: [15, u32],
  ulp: [19, nested(new Attributes({ mptcp: [3, nested(SUBFLOW)] }))],
  cgroup: [21, u64],
});
const DIAG_INFO = new Attributes({ info: [2, span] });
const DIAG_ULP = new Attributes({ ulp: [19, nested(new Attributes({ name: [1, text] }))] });
const REQUEST = new Attributes({ protocol: [3, u32] });

/** MPTCP_SUBFLOW_FLAG_* (linux/mptcp.h). */
const FLAG_MCAP_LOC = 1 << 1;
const FLAG_MCAP_REM = 1 << 0;
const FLAG_BACKUP = (1 << 4) | (1 << 5);

interface Socket {
  readonly state: TcpState;
  readonly local: Address;
  readonly remote: Address;
  /** 0 unless bound to an interface. */
  readonly ifindex: number;
  readonly uid: number;
  readonly inode: number;
  /** Of cgroup version 2, the inode number of its directory; 0 when the kernel does not say. */
  readonly cgroup: number;
  readonly mark: number;
}

export interface SubflowSocket extends Socket {
  readonly token: Token;
  readonly remoteToken: Token;
  readonly localId: number;
  readonly remoteId: number;
  readonly backup: boolean;
  /** The one that the connection began with (MP_CAPABLE). */
  readonly initial: boolean;
  /** We sent the SYN of the initial one: we are the client. Says nothing of others. */
  readonly connected: boolean;
  /** Absent for sockets without tcp_info (TIME-WAIT), or when not asked for. */
  readonly stats: Stats | undefined;
}

export interface ConnectionSocket extends Socket {
  readonly token: Token;
  readonly stats: ConnectionStats;
}

/** States of subflows that carry, or may soon carry, data. */
export const ALIVE: readonly TcpState[] = ['established', 'syn-sent', 'syn-recv', 'close-wait'];

export class SocketDiag {
  readonly #channel: Channel;

  constructor(addon: typeof Addon) {
    this.#channel = new Channel(addon, NETLINK_SOCK_DIAG);
  }

  /** Reads one subflow; undefined when it is gone. `ifindex` is that of the interface it is bound to, 0 when to none. */
  stats(local: Address, remote: Address, at: Millis, ifindex = 0): Stats | undefined {
    const found = this.#subflow(local, remote, ifindex);
    if (found === undefined) return undefined;
    const { info } = DIAG_INFO.decode(found.view, found.from + SOCKET_LENGTH, found.to);
    return info === undefined ? undefined : tcpInfo(found.view, info.from, info.to, at);
  }

  /** Reads one subflow with all that MPTCP knows of it; undefined when it is gone. */
  subflow(local: Address, remote: Address, at: Millis, ifindex = 0): SubflowSocket | undefined {
    const found = this.#subflow(local, remote, ifindex);
    return found && subflowSocket(found, at);
  }

  /** Reads one connection; undefined when it is gone. */
  connection(token: Token, at: Millis): ConnectionSocket | undefined {
    const found = this.#find('read a connection', (out) => {
      // MPTCP looks up by the token, in the cookie's place (net/mptcp/mptcp_diag.c).
      putRequest(out, AF_INET, undefined, undefined, { protocol: IPPROTO_MPTCP, cookie: token });
    });
    return found === undefined ? undefined : connectionSocket(found, at);
  }

  /** All subflows in these states, of both families. */
  *subflows(states: readonly TcpState[], at: Millis): Generator<SubflowSocket> {
    for (const family of families('TCP')) {
      for (const message of this.#channel.dump('list subflows', SOCK_DIAG_BY_FAMILY, (out) =>
        putRequest(out, family, undefined, undefined, { states }),
      )) {
        const found = subflowSocket(message, at);
        if (found !== undefined) yield found;
      }
    }
  }

  /** As subflows(), without their `stats` and in pieces between which the event loop runs. */
  async *subflowChunks(states: readonly TcpState[]): AsyncGenerator<SubflowSocket[]> {
    for (const family of families('TCP')) {
      for await (const chunk of this.#channel.dumpChunks('list subflows', SOCK_DIAG_BY_FAMILY, (out) =>
        putRequest(out, family, undefined, undefined, { states }),
      )) {
        yield chunk.map((message) => subflowSocket(message)).filter((found) => found !== undefined);
      }
    }
  }

  /** All MPTCP connections (no listeners), in pieces between which the event loop runs. */
  async *connectionChunks(now: () => Millis): AsyncGenerator<ConnectionSocket[]> {
    for (const family of families('MPTCP')) {
      for await (const chunk of this.#channel.dumpChunks('list connections', SOCK_DIAG_BY_FAMILY, (out) =>
        putRequest(out, family, undefined, undefined, { protocol: IPPROTO_MPTCP, states: ALIVE }),
      )) {
        const at = now();
        yield chunk.map((message) => connectionSocket(message, at)).filter((found) => found !== undefined);
      }
    }
  }

  /**
   * Sockets that listen for MPTCP connections; "::" and "0.0.0.0" listen at every address. These are their TCP
   * sockets, which say the same: for those of MPTCP the kernel would look at every connection.
   */
  *listeners(): Generator<Socket> {
    for (const family of [AF_INET, AF_INET6]) {
      for (const message of this.#channel.dump('list listeners', SOCK_DIAG_BY_FAMILY, (out) =>
        putRequest(out, family, undefined, undefined, { states: ['listen'] }),
      )) {
        const found = listeningSocket(message);
        if (found !== undefined) yield found;
      }
    }
  }

  close(): void {
    this.#channel.close();
  }

  #subflow(local: Address, remote: Address, ifindex: number): Message | undefined {
    const found = this.#find('read a subflow', (out) =>
      putRequest(out, familyOf(local), local, remote, { ifindex }),
    );
    // Without such a connection the kernel answers with a listener or a TIME-WAIT bucket.
    return found && hasPorts(found, local.port, remote.port) ? found : undefined;
  }

  #find(operation: string, payload: (out: Writer) => void): Message | undefined {
    const answer = this.#channel.ask(operation, SOCK_DIAG_BY_FAMILY, 0, payload);
    if (!('errno' in answer)) return answer;
    if (answer.errno === ENOENT || answer.errno === ESTALE) return undefined;
    throw refusal(operation, answer);
  }
}

/** Length of struct inet_diag_req_v2 and of struct inet_diag_msg; both have a struct inet_diag_sockid within. */
const REQUEST_LENGTH = 56;
const SOCKET_LENGTH = 72;

function families(protocol: Protocol): number[] {
  const { ip4, ip6 } = inUse(protocol);
  return [...(ip4 ? [AF_INET] : []), ...(ip6 ? [AF_INET6] : [])];
}

function familyOf(address: Address): number {
  return isIp4(address.ip) ? AF_INET : AF_INET6;
}

function putRequest(
  out: Writer,
  family: number,
  local?: Address,
  remote?: Address,
  options: { protocol?: number; states?: readonly TcpState[]; cookie?: number; ifindex?: number } = {},
): void {
  const { protocol = IPPROTO_TCP, states, cookie = NO_COOKIE, ifindex = 0 } = options;
  const at = out.reserve(REQUEST_LENGTH);
  const { view } = out;
  view.setUint8(at, family);
  view.setUint8(at + 1, protocol > 255 ? IPPROTO_RAW : protocol);
  view.setUint8(at + 2, WANT_INFO);
  const mask = states?.reduce((bits, state) => bits | (1 << (TCP_STATES.indexOf(state) + 1)), 0) ?? -1;
  view.setInt32(at + 4, mask, LITTLE_ENDIAN);
  if (local !== undefined && remote !== undefined) {
    view.setUint16(at + 8, local.port);
    view.setUint16(at + 10, remote.port);
    const put = family === AF_INET ? putIp4 : putIp6;
    if (!put(view, at + 12, local.ip) || !put(view, at + 28, remote.ip)) {
      throw new CodecError(`"${local.ip}" and "${remote.ip}" are no addresses of one family`);
    }
  }
  view.setUint32(at + 44, ifindex, LITTLE_ENDIAN);
  view.setUint32(at + 48, cookie, LITTLE_ENDIAN);
  view.setUint32(at + 52, NO_COOKIE, LITTLE_ENDIAN);
  if (protocol > 255) REQUEST.encode(out, { protocol });
}

function hasPorts({ view, from, to }: Message, local: number, remote: number): boolean {
  if (to - from < SOCKET_LENGTH) throw new CodecError('truncated socket');
  return view.getUint16(from + 4) === local && view.getUint16(from + 6) === remote;
}

/** The ends as struct inet_diag_msg holds them. */
function localAt({ view, from }: Message): Address {
  return { ip: ipAt(view, from, 8), port: view.getUint16(from + 4) };
}

function remoteAt({ view, from }: Message): Address {
  return { ip: ipAt(view, from, 24), port: view.getUint16(from + 6) };
}

function ipAt(view: DataView, from: number, offset: number): string {
  return view.getUint8(from) === AF_INET ? ip4Text(view, from + offset) : ip6Text(view, from + offset);
}

// All three list every field: spreading a common part costs five times as much, tens of thousands of times a resync.

/** Undefined for sockets of plain TCP. Has `stats` when there is a time `at` that they were read. */
export function subflowSocket(message: Message, at?: Millis): SubflowSocket | undefined {
  const { view, from, to } = message;
  if (to - from < SOCKET_LENGTH) throw new CodecError('truncated socket');
  const { info, mark = 0, ulp, cgroup = 0 } = DIAG.decode(view, from + SOCKET_LENGTH, to);
  const subflow = ulp?.mptcp;
  if (subflow === undefined) return undefined;
  const { tokenLoc = 0, tokenRem = 0, idLoc = 0, idRem = 0, flags = 0 } = subflow;
  return {
    state: tcpState(view.getUint8(from + 1)),
    local: localAt(message),
    remote: remoteAt(message),
    ifindex: view.getUint32(from + 40, LITTLE_ENDIAN),
    uid: view.getUint32(from + 64, LITTLE_ENDIAN),
    inode: view.getUint32(from + 68, LITTLE_ENDIAN),
    cgroup,
    mark,
    token: tokenLoc,
    remoteToken: tokenRem,
    localId: idLoc,
    remoteId: idRem,
    backup: (flags & FLAG_BACKUP) !== 0,
    initial: (flags & (FLAG_MCAP_LOC | FLAG_MCAP_REM)) !== 0,
    connected: (flags & FLAG_MCAP_LOC) !== 0,
    stats: info === undefined || at === undefined ? undefined : tcpInfo(view, info.from, info.to, at),
  };
}

/** Undefined for what is no connection: a listener. */
export function connectionSocket(message: Message, at: Millis): ConnectionSocket | undefined {
  const { view, from, to } = message;
  if (to - from < SOCKET_LENGTH) throw new CodecError('truncated socket');
  const { info, mark = 0, cgroup = 0 } = DIAG.decode(view, from + SOCKET_LENGTH, to);
  const state = tcpState(view.getUint8(from + 1));
  if (info === undefined || state === 'listen') return undefined;
  const stats = mptcpInfo(view, info.from, info.to, at);
  return {
    state,
    local: localAt(message),
    remote: remoteAt(message),
    ifindex: view.getUint32(from + 40, LITTLE_ENDIAN),
    uid: view.getUint32(from + 64, LITTLE_ENDIAN),
    inode: view.getUint32(from + 68, LITTLE_ENDIAN),
    cgroup,
    mark,
    token: mptcpToken(view, info.from),
    stats,
  };
}

/** Undefined for sockets of plain TCP. */
function listeningSocket(message: Message): Socket | undefined {
  const { view, from, to } = message;
  if (to - from < SOCKET_LENGTH) throw new CodecError('truncated socket');
  // Of a listener, newer kernels tell no more of MPTCP than its name.
  if (DIAG_ULP.decode(view, from + SOCKET_LENGTH, to).ulp?.name !== 'mptcp') return undefined;
  const { mark = 0, cgroup = 0 } = DIAG.decode(view, from + SOCKET_LENGTH, to);
  return {
    state: tcpState(view.getUint8(from + 1)),
    local: localAt(message),
    remote: remoteAt(message),
    ifindex: view.getUint32(from + 40, LITTLE_ENDIAN),
    uid: view.getUint32(from + 64, LITTLE_ENDIAN),
    inode: view.getUint32(from + 68, LITTLE_ENDIAN),
    cgroup,
    mark,
  };
}
