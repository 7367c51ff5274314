/**
 * The kernel's path manager family `mptcp_pm`: its tables in the order of the kernel's own specification
 * (Documentation/netlink/specs/mptcp_pm.yaml), events decoded, commands encoded.
 *
 * Ports are big-endian in events and host order in commands. `server-side` is left out when false.
 */
import type { Address, Command, Event, SubflowEnds, Token } from '../model.ts';
import type { Addon } from './addon.ts';
import { Attributes, be16, CodecError, ip4, ip6, nested, s32, u8, u16, u32 } from './attributes.ts';
import { type Family, resolveFamily } from './genl.ts';
import { isIp4 } from './ip.ts';
import { GENL_HEADER_LENGTH, NLM_F_ACK, type Outcome, putGenlHeader, SUCCESS } from './message.ts';
import { Channel, type Listener, NETLINK_GENERIC, refusal, type Subscription } from './socket.ts';

/** enum mptcp_event_type. */
export const PM_EVENTS = {
  created: 1,
  established: 2,
  closed: 3,
  announced: 6,
  removed: 7,
  subEstablished: 10,
  subClosed: 11,
  subPriority: 13,
  listenerCreated: 15,
  listenerClosed: 16,
} as const;

/** The commands that we send. */
export const PM_COMMANDS = {
  setFlags: 7,
  announce: 8,
  remove: 9,
  subflowCreate: 10,
  subflowDestroy: 11,
} as const;

export const ADDR_FLAG_SIGNAL = 1 << 0;
export const ADDR_FLAG_BACKUP = 1 << 2;

const AF_INET = 2;
const AF_INET6 = 10;
const ESRCH = 3;
const EINVAL = 22;

/** Attribute set `address`; `addr4` is written for IPv4 and `addr6` for IPv6. */
export const ADDRESS = new Attributes({
  family: [1, u16],
  id: [2, u8],
  addr4: [3, ip4],
  addr6: [4, ip6],
  port: [5, u16],
  flags: [6, u32],
  ifIdx: [7, s32],
});

/** Attribute set `attr`. */
export const ATTR = new Attributes({
  addr: [1, nested(ADDRESS)],
  rcvAddAddrs: [2, u32],
  subflows: [3, u32],
  token: [4, u32],
  locId: [5, u8],
  addrRemote: [6, nested(ADDRESS)],
});

/** Attribute set `event-attr`. */
export const EVENT_ATTR = new Attributes({
  token: [1, u32],
  family: [2, u16],
  locId: [3, u8],
  remId: [4, u8],
  saddr4: [5, ip4],
  saddr6: [6, ip6],
  daddr4: [7, ip4],
  daddr6: [8, ip6],
  sport: [9, be16],
  dport: [10, be16],
  backup: [11, u8],
  error: [12, u8],
  flags: [13, u16],
  timeout: [14, u32],
  ifIdx: [15, s32],
  resetReason: [16, u32],
  resetFlags: [17, u32],
  serverSide: [18, u8],
});

type EventAttr = ReturnType<typeof EVENT_ATTR.decode>;

/** Decodes the payload (from struct genlmsghdr on) of a notification; undefined when it is of no known kind. */
export function decodeEvent(view: DataView, from: number, to: number): Event | undefined {
  if (to - from < GENL_HEADER_LENGTH) throw new CodecError('truncated event');
  const type = view.getUint8(from);
  const attr = EVENT_ATTR.decode(view, from + GENL_HEADER_LENGTH, to);
  switch (type) {
    case PM_EVENTS.created:
    case PM_EVENTS.established: {
      const kind = type === PM_EVENTS.created ? 'created' : 'established';
      return { kind, token: token(attr), side: attr.serverSide ? 'server' : 'client', ...ends(attr) };
    }
    case PM_EVENTS.closed:
      return { kind: 'closed', token: token(attr) };
    case PM_EVENTS.announced:
      return { kind: 'remote-up', token: token(attr), remote: { ...remote(attr), id: attr.remId ?? 0 } };
    case PM_EVENTS.removed:
      return { kind: 'remote-down', token: token(attr), id: attr.remId ?? 0 };
    case PM_EVENTS.subEstablished:
      return { kind: 'subflow-up', token: token(attr), ...ends(attr) };
    case PM_EVENTS.subClosed: {
      const { error = 0, resetReason = 0 } = attr;
      return { kind: 'subflow-down', token: token(attr), errno: error, resetReason, ...ends(attr) };
    }
    case PM_EVENTS.subPriority:
      return { kind: 'priority', token: token(attr), ...ends(attr) };
    case PM_EVENTS.listenerCreated:
      return { kind: 'listener-up', local: local(attr) };
    case PM_EVENTS.listenerClosed:
      return { kind: 'listener-down', local: local(attr) };
    default:
      return undefined;
  }
}

function token({ token }: EventAttr): Token {
  if (token === undefined) throw new CodecError('event without a token');
  return token;
}

function local({ saddr4, saddr6, sport }: EventAttr): Address {
  return address(saddr4 ?? saddr6, sport);
}

function remote({ daddr4, daddr6, dport }: EventAttr): Address {
  return address(daddr4 ?? daddr6, dport);
}

function address(ip: string | undefined, port: number | undefined): Address {
  if (ip === undefined) throw new CodecError('event without an address');
  return { ip, port: port ?? 0 };
}

function ends(attr: EventAttr): SubflowEnds {
  return {
    local: local(attr),
    remote: remote(attr),
    localId: attr.locId ?? 0,
    remoteId: attr.remId ?? 0,
    backup: attr.backup === 1,
    ifindex: attr.ifIdx ?? 0,
  };
}

type AddressAttr = Parameters<typeof ADDRESS.encode>[1];
export type Request = Parameters<typeof ATTR.encode>[1];

/** `mapped` writes IPv4 as IPv4-mapped IPv6: how the kernel knows subflows of dual-stack sockets. */
function addressAttr(ip: string, mapped: boolean, { id, port, flags, ifIdx }: AddressAttr): AddressAttr {
  const v4 = isIp4(ip) && !mapped;
  // One shape and no spreading: an `open` is encoded while the peer's SYN/ACK is hardly read.
  return {
    family: v4 ? AF_INET : AF_INET6,
    id,
    addr4: v4 ? ip : undefined,
    addr6: v4 ? undefined : ip,
    port,
    flags,
    ifIdx,
  };
}

/** What the kernel's path manager can be told. */
export type PathCommand = Exclude<Command, { kind: 'ping' }>;

/** The kernel's command and attributes for one of ours. */
export function encodeCommand(
  token: Token,
  command: PathCommand,
  mapped = false,
): { readonly number: number; readonly request: Request } {
  switch (command.kind) {
    case 'open': {
      const { local, remote, backup, localPort } = command;
      return {
        number: PM_COMMANDS.subflowCreate,
        request: {
          addr: addressAttr(local.ip, mapped, {
            id: local.id,
            port: localPort || undefined,
            flags: backup ? ADDR_FLAG_BACKUP : undefined,
            ifIdx: local.ifindex || undefined,
          }),
          token,
          addrRemote: addressAttr(remote.ip, mapped, { id: remote.id, port: remote.port }),
        },
      };
    }
    case 'close': {
      const { local, remote } = command.subflow;
      return {
        number: PM_COMMANDS.subflowDestroy,
        request: {
          addr: addressAttr(local.ip, mapped, { port: local.port }),
          token,
          addrRemote: addressAttr(remote.ip, mapped, { port: remote.port }),
        },
      };
    }
    case 'backup': {
      const { local, remote } = command.subflow;
      return {
        number: PM_COMMANDS.setFlags,
        request: {
          addr: addressAttr(local.ip, mapped, { port: local.port, flags: command.on ? ADDR_FLAG_BACKUP : 0 }),
          token,
          addrRemote: addressAttr(remote.ip, mapped, { port: remote.port }),
        },
      };
    }
    case 'announce': {
      const { local, port } = command;
      const rest = { id: local.id, port: port || undefined, flags: ADDR_FLAG_SIGNAL };
      return { number: PM_COMMANDS.announce, request: { addr: addressAttr(local.ip, mapped, rest), token } };
    }
    case 'withdraw':
      return { number: PM_COMMANDS.remove, request: { token, locId: command.local.id } };
  }
}

/** MPTCP address ids; those of addresses with a port come from the end. */
const IDS = { firstOfPorts: 192, last: 255 };
const NOWHERE = { family: AF_INET, addr4: '0.0.0.0', port: 1 };

/** The path manager of the network namespace that we are in. Failures are NetlinkErrors. */
export class PathManager {
  readonly #channel: Channel;
  readonly #family: Family;

  constructor(addon: typeof Addon) {
    this.#channel = new Channel(addon, NETLINK_GENERIC);
    this.#family = resolveFamily(this.#channel, 'mptcp_pm');
  }

  /** Hears events; `fd` is a socket that already does (kept in systemd's file descriptor store). */
  watch(receiveBuffer: number, listener: Listener, fd?: number): Subscription {
    const group = this.#family.groups.get('mptcp_pm_events')!;
    return this.#channel.watch(fd === undefined ? [group] : [], receiveBuffer, listener, fd);
  }

  execute(token: Token, command: PathCommand): void {
    let outcome = this.#send(token, command, false);
    if (outcome.errno === ESRCH && mayBeMapped(command)) {
      // No such subflow: the socket is a dual-stack one, and the kernel compares family and all.
      outcome = this.#send(token, command, true);
    }
    if (command.kind === 'open' && command.localPort) {
      // To the kernel an address with a port is one of its own, whose id none of the connection's others may have.
      for (let id = IDS.last; id >= IDS.firstOfPorts && outcome.errno === EINVAL; id--) {
        const local = { ...command.local, id };
        outcome = this.#send(token, { ...command, local }, false);
      }
    }
    if (outcome.errno !== 0) throw refusal(command.kind, outcome);
  }

  /**
   * Whether the userspace path manager has this connection. Asks to destroy a subflow that cannot be: the
   * kernel looks for it (ESRCH) only after it checked that. Works on all kernels, and changes nothing.
   */
  commandable(token: Token): boolean {
    const errno = this.#channel.errno('probe', this.#family.id, (out) => {
      putGenlHeader(out, PM_COMMANDS.subflowDestroy, this.#family.version);
      ATTR.encode(out, { addr: NOWHERE, token, addrRemote: NOWHERE });
    });
    return errno === ESRCH;
  }

  #send(token: Token, command: PathCommand, mapped: boolean): Outcome {
    const { number, request } = encodeCommand(token, command, mapped);
    const answer = this.#channel.ask(command.kind, this.#family.id, NLM_F_ACK, (out) => {
      putGenlHeader(out, number, this.#family.version);
      ATTR.encode(out, request);
    });
    return 'errno' in answer ? answer : SUCCESS;
  }

  close(): void {
    this.#channel.close();
  }
}

function mayBeMapped(command: PathCommand): boolean {
  return (command.kind === 'close' || command.kind === 'backup') && isIp4(command.subflow.local.ip);
}
