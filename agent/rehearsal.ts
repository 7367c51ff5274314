/**
 * Connections that never were, led through the agent before the first real one.
 *
 * V8 optimizes code that has run for hundreds of connections, which many hosts do not see in an hour; until then
 * each waits some 60 µs longer for its second subflow. So the daemon rehearses: the policy's own controllers on
 * made-up connections (addresses of RFC 5737 and RFC 3849), with all that is between the event's bytes and the
 * command's. Only the kernel does not hear of it.
 */
import type { Controller } from '../controllers/controller.ts';
import { decodeRto, encodeRto, rtoEvent } from './bpf/rto-record.ts';
import type { Clock } from './clock.ts';
import { NetlinkKernel } from './commands.ts';
import { agentDaemon, type Host } from './control/agent-daemon.ts';
import { KernelEvents } from './events.ts';
import type { Log } from './log.ts';
import type { Address, Millis } from './model.ts';
import type { Addon } from './netlink/addon.ts';
import { Writer } from './netlink/attributes.ts';
import { beginMessage, endMessage, putGenlHeader } from './netlink/message.ts';
import { EVENT_ATTR, PathManager, PM_EVENTS } from './netlink/mptcp-pm.ts';
import type { SocketDiag } from './netlink/sock-diag.ts';
import { chooser, type Identity } from './policy/choose.ts';
import type { Policy } from './policy.ts';
import { Agent } from './runtime.ts';
import { StandIn } from './stand-in.ts';

/** After as many V8 has optimized what matters: 0.2 s on an idle PC. */
const LIVES = 2000;
/** Where it takes longer than this, being ready is worth more. */
const LONGEST: Millis = 2000;
const ECONNRESET = 104;
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
  const uses = [...policy.apps, policy.default].filter(({ controller }) =>
    stage.controllers.includes(controller),
  );
  const choices = [...new Map(uses.map((use) => [use.controller, use])).values()];
  if (choices.length === 0) return;
  // Two of each: code that has seen one agent only is optimized for that one, and not for the real one.
  const casts = [...choices, ...choices].map((choice) => new Cast(stage, choice));
  const end = clock.now() + LONGEST;
  let began = clock.now();
  for (let life = 0; life < LIVES && began < end; life++) {
    casts[life % casts.length]!.live(Math.floor(life / casts.length));
    if (clock.now() - began < slice) continue;
    yield;
    began = clock.now();
  }
  for (const cast of casts) cast.close();
}

type EventAttributes = Parameters<typeof EVENT_ATTR.encode>[1];

/** An agent as the daemon's, from the netlink socket to the netlink socket. */
class Cast {
  readonly #agent: Agent;
  readonly #pathManager: PathManager;
  readonly #events: KernelEvents;
  readonly #kernel: StandIn;
  readonly #out = new Writer(4096);

  constructor(stage: Stage, { controller, params }: Pick<Policy['default'], 'controller' | 'params'>) {
    const { clock, random, sockets, userspaceNow, policy } = stage;
    this.#kernel = new StandIn(stage.addon);
    this.#pathManager = new PathManager(this.#kernel.addon);
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
    const tell = (kind: keyof typeof PM_EVENTS, { ip, port }: Address, rest: EventAttributes): void => {
      const addresses = family === AF_INET ? { saddr4: ip, daddr4: peer } : { saddr6: ip, daddr6: peer };
      this.#tell(kind, { token, family, ...addresses, sport: port, dport: 443, ...rest });
    };
    const first = { ip: ips[0], port: 1024 + life };
    tell('created', first, { serverSide });
    tell('established', first, { serverSide });
    for (const { local } of this.#agent.connections.get(token)?.opening ?? [])
      tell('subEstablished', { ip: local.ip, port: 30_000 + life }, { locId: local.id, remId: 0, backup: 0 });
    if (family === AF_INET) this.#timer(token, first, peer, life);
    if (life % 4 === 0) tell('subClosed', first, { locId: 0, remId: 0, backup: 0, error: ECONNRESET });
    this.#tell('closed', { token });
  }

  close(): void {
    this.#events.close();
    this.#pathManager.close();
  }

  /** As the timers' eBPF programs tell: an RTO, or the first data after a silence. */
  #timer(token: number, local: Address, peer: string, life: number): void {
    const silence = life % 8 === 0 ? 600_000 : 0;
    const [expired, rto] = silence > 0 ? [0, 240_000] : [240_000, 480_000];
    const rest = { at: 0n, netns: 1n, cgroup: 1n, srtt: 40_000, sndUna: token, backoff: 1, state: 1 };
    const remote = { ip: peer, port: 443 };
    const bytes = encodeRto({ ...rest, token, local, remote, expired, rto, silence });
    this.#agent.handle(rtoEvent(decodeRto(bytes, 0)));
  }

  #tell(kind: keyof typeof PM_EVENTS, attributes: EventAttributes): void {
    this.#out.at = 0;
    const start = beginMessage(this.#out, 0, 0, 0);
    putGenlHeader(this.#out, PM_EVENTS[kind], 1);
    EVENT_ATTR.encode(this.#out, attributes);
    endMessage(this.#out, start);
    this.#kernel.show(this.#out.bytes.subarray(0, this.#out.at));
  }
}

/** The same text as if it had been read: V8 compares what stands in a source by its place. */
function read<T extends string>(text: T): T {
  return Buffer.from(text).toString('latin1') as T;
}
