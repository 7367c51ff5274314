/**
 * Connections that never were, led through the agent before the first real one.
 *
 * V8 optimizes code that has run for hundreds of connections, which many hosts do not see in an hour; until then
 * each waits some 60 µs longer for its second subflow. So the daemon rehearses: the policy's own controllers on
 * made-up connections (addresses of RFC 5737 and RFC 3849), with all that is between the event's bytes and the
 * command's. Only the kernel does not hear of it.
 */
import type { Controller } from '../controllers/controller.ts';
import type { Clock } from './clock.ts';
import { NetlinkKernel } from './commands.ts';
import { agentDaemon, type Host } from './control/agent-daemon.ts';
import { KernelEvents } from './events.ts';
import type { Log } from './execution.ts';
import type { Address, Millis } from './model.ts';
import type { Addon } from './netlink/addon.ts';
import { LITTLE_ENDIAN, Writer } from './netlink/attributes.ts';
import {
  beginMessage,
  EXTENDED_ACK,
  endMessage,
  HEADER_LENGTH,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_ERROR,
  putGenlHeader,
} from './netlink/message.ts';
import { EVENT_ATTR, PathManager, PM_EVENTS } from './netlink/mptcp-pm.ts';
import type { SocketDiag } from './netlink/sock-diag.ts';
import { chooser, type Identity } from './policy/choose.ts';
import type { Policy } from './policy.ts';
import { Agent } from './runtime.ts';

/** After as many V8 has optimized what matters: 0.2 s on an idle PC. */
const LIVES = 2000;
/** Where it takes longer than this, being there is worth more. */
const LONGEST: Millis = 2000;
const ECONNRESET = 104;
const ENOTCONN = 107;
const EINVAL = 22;
const ESRCH = 3;
const NO_WORDS = new Uint8Array();
const AF_INET = 2;
const AF_INET6 = 10;
const FAMILIES = [
  { family: AF_INET, ips: ['192.0.2.1', '198.51.100.1'], peer: '203.0.113.1' },
  { family: AF_INET6, ips: ['2001:db8:1::1', '2001:db8:2::1'], peer: '2001:db8:3::1' },
] as const;

interface Stage {
  readonly addon: typeof Addon;
  readonly sockets: SocketDiag;
  readonly clock: Clock;
  readonly random: () => number;
  readonly host: Host;
  readonly userspaceNow: () => boolean;
  readonly policy: Pick<Policy, 'apps' | 'default'>;
  /** Those that may be fooled: what a third party's does besides is not known. */
  readonly controllers: readonly Controller[];
}

const nobody: Identity = {
  uid: () => undefined,
  user: () => undefined,
  cgroup: () => undefined,
  units: () => [],
  exe: () => undefined,
};
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** Yields whenever it has held up others for `slice`. */
export function* rehearse(stage: Stage, slice: Millis): Generator<void> {
  const { clock, policy } = stage;
  const choices = [policy.default, ...policy.apps].filter(({ controller }) =>
    stage.controllers.includes(controller),
  );
  if (choices.length === 0) return;
  // Two at least: code that has seen one agent only is optimized for that one, and not for the real one.
  const casts = [...choices, ...choices].map((choice) => new Cast(stage, choice));
  const end = clock.now() + LONGEST;
  let began = clock.now();
  for (let life = 0; life < LIVES && began < end; life++) {
    casts[life % casts.length]!.live(life);
    if (clock.now() - began < slice) continue;
    yield;
    began = clock.now();
  }
  for (const cast of casts) cast.close();
}

type Ends = Parameters<typeof EVENT_ATTR.encode>[1];

/** An agent as the daemon's, from the netlink socket to the netlink socket. */
class Cast {
  readonly #agent: Agent;
  readonly #pathManager: PathManager;
  readonly #events: KernelEvents;
  readonly #theatre: Theatre;
  readonly #out = new Writer(4096);

  constructor(stage: Stage, { controller, params }: Pick<Policy['default'], 'controller' | 'params'>) {
    const { clock, random, sockets, userspaceNow, policy } = stage;
    this.#theatre = new Theatre(stage.addon);
    this.#pathManager = new PathManager(this.#theatre.addon);
    const kernel = new NetlinkKernel(this.#pathManager, sockets, () => this.#agent.now(), userspaceNow);
    const choose = chooser({ apps: policy.apps, default: { controller, params } }, () => nobody);
    this.#agent = new Agent({ kernel, clock, random, log: silent }, { choose, openDeadline: 1000 });
    agentDaemon(this.#agent, stage.host);
    // To V8 these are as the host's: the same properties in the same order, and text from outside.
    for (const [id, text] of FAMILIES.flatMap(({ ips }) => ips).entries()) {
      const [ip, role] = [read(text), read('primary')];
      this.#agent.handle({
        kind: 'local-up',
        local: { ip, id: id + 1, ifname: `path${id}`, ifindex: 0, role, metered: false },
      });
    }
    const nothing = { connections: [] };
    const rest = { gather: async () => nothing, log: silent, failed() {}, fd: undefined, receiveBuffer: 0 };
    this.#events = new KernelEvents(this.#agent, this.#pathManager, rest);
    this.#agent.resync(nothing);
  }

  /**
   * One connection from its first event to its last; every subflow that is asked for and not refused comes to be, and
   * many a first one is lost. Events have the attributes that the kernel gives them.
   */
  live(life: number): void {
    const { family, ips, peer } = FAMILIES[life % FAMILIES.length]!;
    // As random as the kernel's: V8 writes numbers above 2^31 in another way.
    const token = Math.imul(life, 0x9e37_79b1) >>> 0;
    const serverSide = life % 8 === 7 ? 1 : undefined;
    const tell = (kind: keyof typeof PM_EVENTS, { ip, port }: Address, rest: Ends): void => {
      const addresses = family === AF_INET ? { saddr4: ip, daddr4: peer } : { saddr6: ip, daddr6: peer };
      this.#tell(kind, { token, family, ...addresses, sport: port, dport: 443, ...rest });
    };
    const first = { ip: ips[0], port: 1024 + life };
    tell('created', first, { serverSide });
    tell('established', first, { serverSide });
    for (const { local } of [...(this.#agent.connections.get(token)?.opening ?? [])])
      tell('subEstablished', { ip: local.ip, port: 30_000 + life }, { locId: local.id, remId: 0, backup: 0 });
    if (life % 4 === 0) tell('subClosed', first, { locId: 0, remId: 0, backup: 0, error: ECONNRESET });
    this.#tell('closed', { token });
  }

  close(): void {
    this.#events.close();
    this.#pathManager.close();
  }

  #tell(kind: keyof typeof PM_EVENTS, attributes: Ends): void {
    this.#out.at = 0;
    const start = beginMessage(this.#out, 0, 0, 0);
    putGenlHeader(this.#out, PM_EVENTS[kind], 1);
    EVENT_ATTR.encode(this.#out, attributes);
    endMessage(this.#out, start);
    this.#theatre.show(this.#out.bytes.subarray(0, this.#out.at));
  }
}

/** The addon without a kernel: it hears what is shown, and its commands are answered unheard, now and then with a refusal. */
class Theatre {
  readonly addon: typeof Addon;
  #show: ((datagram: Uint8Array) => void) | undefined;

  constructor(addon: typeof Addon) {
    const shown = (show: (datagram: Uint8Array) => void): void => {
      this.#show = show;
    };
    class Socket extends addon.NetlinkSocket {
      #requests = 0;
      override request(message: Uint8Array, length: number, reply: Uint8Array): number {
        // The first one asks for the family.
        if (this.#requests++ === 0) return super.request(message, length, reply);
        const refused = this.#requests % 16 === 0;
        return answer(
          message,
          reply,
          refused ? REFUSALS[(this.#requests / 16) % REFUSALS.length] : undefined,
        );
      }
      override join(): void {}
      override watch(buffer: Uint8Array, lengths: Int32Array, onDatagrams: (count: number) => void): void {
        shown((datagram) => {
          buffer.set(datagram);
          lengths[0] = datagram.length;
          onDatagrams(1);
        });
      }
    }
    this.addon = { ...addon, NetlinkSocket: Socket };
  }

  show(datagram: Uint8Array): void {
    this.#show?.(datagram);
  }
}

/** The same text as if it had been read: V8 compares what stands in a source by its place. */
function read<T extends string>(text: T): T {
  return Buffer.from(text).toString('latin1') as T;
}

interface Refusal {
  readonly errno: number;
  readonly words: Uint8Array;
}

const REFUSALS: readonly Refusal[] = [
  refusal(ENOTCONN, { message: 'connect error: -107' }),
  refusal(EINVAL, { message: 'invalid token', offset: 20 }),
  refusal(ESRCH, {}),
];

function refusal(errno: number, words: Parameters<typeof EXTENDED_ACK.encode>[1]): Refusal {
  const out = new Writer(128);
  EXTENDED_ACK.encode(out, words);
  return { errno, words: out.bytes.subarray(0, out.at) };
}

/** A struct nlmsgerr, as the kernel writes it: error (0 for "done"), the request's header, and why. */
function answer(message: Uint8Array, reply: Uint8Array, refused: Refusal | undefined): number {
  const words = refused?.words ?? NO_WORDS;
  const length = 2 * HEADER_LENGTH + 4 + words.length;
  const flags = words.length > 0 ? NLM_F_CAPPED | NLM_F_ACK_TLVS : NLM_F_CAPPED;
  const view = new DataView(reply.buffer);
  reply.set(message.subarray(0, HEADER_LENGTH));
  reply.set(message.subarray(0, HEADER_LENGTH), HEADER_LENGTH + 4);
  reply.set(words, 2 * HEADER_LENGTH + 4);
  view.setUint32(0, length, LITTLE_ENDIAN);
  view.setUint16(4, NLMSG_ERROR, LITTLE_ENDIAN);
  view.setUint16(6, flags, LITTLE_ENDIAN);
  view.setInt32(HEADER_LENGTH, -(refused?.errno ?? 0), LITTLE_ENDIAN);
  return length;
}
