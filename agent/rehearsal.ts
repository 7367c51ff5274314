/**
 * Connections that never were, led through the agent before the first real one.
 *
 * V8 optimizes code that has run for hundreds of connections, which many hosts do not see in an hour; until then
 * each waits some 60 µs longer for its second subflow. So the daemon rehearses: the policy's own controllers on
 * made-up connections (addresses of RFC 5737 and RFC 3849), with all that is between the event's bytes and the
 * command's. Only the kernel does not hear of it.
 */
import type { Controller } from '../controllers/controller.ts';
import type { Choice, Choose } from './choice.ts';
import type { Clock } from './clock.ts';
import { NetlinkKernel } from './commands.ts';
import { agentDaemon, type Host } from './control/agent-daemon.ts';
import type { Log } from './execution.ts';
import type { Address, Millis } from './model.ts';
import type { Addon } from './netlink/addon.ts';
import { LITTLE_ENDIAN, Writer } from './netlink/attributes.ts';
import { HEADER_LENGTH, NLMSG_ERROR, putGenlHeader } from './netlink/message.ts';
import { decodeEvent, EVENT_ATTR, PathManager, PM_EVENTS } from './netlink/mptcp-pm.ts';
import type { SocketDiag } from './netlink/sock-diag.ts';
import { chooser, type Identity } from './policy/choose.ts';
import type { Policy } from './policy.ts';
import { Agent } from './runtime.ts';

/** After as many V8 has optimized what matters: 0.1 s on an idle PC. */
const LIVES = 2000;
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
  const { clock, random, sockets, policy } = stage;
  const now = (): Millis => clock.now();
  const choices = [...policy.apps, policy.default]
    .filter(({ controller }) => stage.controllers.includes(controller))
    .map(({ controller, params }): Choice => ({ app: '', controller, params, why: '' }));
  if (choices.length === 0) return;
  const judge = chooser(policy, () => nobody);
  let life = 0;
  const choose: Choose = (facts) => {
    judge(facts);
    return choices[life % choices.length]!;
  };
  const pathManager = new PathManager(understudy(stage.addon));
  const kernel = new NetlinkKernel(pathManager, sockets, now, () => true);
  const agent = new Agent({ kernel, clock, random, log: silent }, { choose, openDeadline: 1000 });
  agentDaemon(agent, stage.host);
  for (const [id, ip] of FAMILIES.flatMap(({ ips }) => ips).entries())
    agent.handle({
      kind: 'local-up',
      local: { ip, id: id + 1, ifname: `path${id}`, role: 'primary', metered: false, ifindex: 0 },
    });
  let began = now();
  for (; life < LIVES; life++) {
    live(agent, life);
    if (now() - began < slice) continue;
    yield;
    began = now();
  }
  pathManager.close();
}

/** One connection from its first event to its last; every subflow that is asked for comes to be, and many a first one is lost. */
function live(agent: Agent, life: number): void {
  const { family, ips, peer } = FAMILIES[life % FAMILIES.length]!;
  const out = new Writer(4096);
  const side = life % 8 === 7 ? 'server' : 'client';
  const tell = (kind: keyof typeof PM_EVENTS, local: Address, localId = 0, error?: number): void => {
    out.at = 0;
    putGenlHeader(out, PM_EVENTS[kind], 1);
    const [v4, v6] = family === AF_INET ? [local.ip, undefined] : [undefined, local.ip];
    EVENT_ATTR.encode(out, {
      token: life,
      family,
      locId: localId,
      remId: 0,
      saddr4: v4,
      saddr6: v6,
      daddr4: v4 && peer,
      daddr6: v6 && peer,
      sport: local.port,
      dport: 443,
      backup: 0,
      serverSide: side === 'server' ? 1 : 0,
      error,
    });
    agent.handle(decodeEvent(out.view, 0, out.at)!);
  };
  const first = { ip: ips[0], port: 1024 + life };
  tell('created', first);
  tell('established', first);
  for (const { local } of [...(agent.connections.get(life)?.opening ?? [])])
    tell('subEstablished', { ip: local.ip, port: 30_000 + life }, local.id);
  if (life % 4 === 0) tell('subClosed', first, 0, ECONNRESET);
  tell('closed', first);
}

/** The addon, but for commands to the path manager, which are acknowledged unheard. */
function understudy(addon: typeof Addon): typeof Addon {
  class Socket extends addon.NetlinkSocket {
    #familyIsKnown = false;
    override request(message: Uint8Array, length: number, reply: Uint8Array): number {
      if (this.#familyIsKnown) return acknowledge(message, reply);
      this.#familyIsKnown = true;
      return super.request(message, length, reply);
    }
  }
  return { ...addon, NetlinkSocket: Socket };
}

/** A struct nlmsgerr that says "done", as the kernel writes it: the request's header follows the 0. */
function acknowledge(message: Uint8Array, reply: Uint8Array): number {
  const length = 2 * HEADER_LENGTH + 4;
  const view = new DataView(reply.buffer);
  reply.set(message.subarray(0, HEADER_LENGTH));
  view.setUint32(0, length, LITTLE_ENDIAN);
  view.setUint16(4, NLMSG_ERROR, LITTLE_ENDIAN);
  view.setUint16(6, 0, LITTLE_ENDIAN);
  view.setUint32(HEADER_LENGTH, 0, LITTLE_ENDIAN);
  return length;
}
