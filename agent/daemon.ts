/** The running daemon: all its parts, built by hand and wired, in the order in which they need each other. */
import { dirname, join } from 'node:path';
import type { Controller } from '../controllers/controller.ts';
import { socketsOf } from './apps/sockets.ts';
import { AppSwitch } from './apps/switch.ts';
import { groupId, Users } from './apps/users.ts';
import { Apps } from './apps.ts';
import type { Bpf } from './bpf/addon.ts';
import { openIdentities } from './bpf/identities.ts';
import { openMptcpSwitch } from './bpf/mptcp-switch.ts';
import { openRtoEvents } from './bpf/rto-events.ts';
import type { Clock } from './clock.ts';
import { NetlinkKernel } from './commands.ts';
import { agentDaemon, type Host } from './control/agent-daemon.ts';
import type { Daemon } from './control/daemon.ts';
import { refuseIfServed, serveControl } from './control/server.ts';
import { Converter } from './converter/converter.ts';
import { machine } from './converter/machine.ts';
import { Via } from './converter/via.ts';
import { inlineMore } from './engine.ts';
import { KernelEvents } from './events.ts';
import { Journal } from './host/journal.ts';
import { HostPaths } from './host/paths.ts';
import { userspaceByDefault } from './host/pm-type.ts';
import { RtnetlinkHost } from './host/rtnetlink.ts';
import type { Log } from './log.ts';
import type { Token } from './model.ts';
import type { Addon } from './netlink/addon.ts';
import { PathManager } from './netlink/mptcp-pm.ts';
import { SocketDiag } from './netlink/sock-diag.ts';
import type { NetlinkError } from './netlink/socket.ts';
import { Pinger } from './ping/pinger.ts';
import { chooser } from './policy/choose.ts';
import { hostSettings } from './policy/host.ts';
import { PolicyFile } from './policy/reload.ts';
import type { Policy, PolicyError } from './policy.ts';
import { rehearse } from './rehearsal.ts';
import { Agent, type Settings } from './runtime.ts';
import { Sampler } from './sampler.ts';
import { gatherSnapshot } from './snapshot.ts';
import type { ServiceManager } from './systemd.ts';

/** Name in systemd's file descriptor store. */
const KEPT_EVENTS = 'mptcp-events';
/** How long the rehearsal may hold up events at a time, in ms. */
const REHEARSAL_SLICE = 2;
/** Of policy and version, for people. */
export interface About {
  readonly version: string;
  readonly pid: number;
  readonly uid: number;
  readonly kernel: string;
  /** Milliseconds since 1970 at the clock's zero. */
  readonly epoch: number;
}

/** What the composition root gives of the outside world. */
export interface Outside {
  readonly about: About;
  readonly addon: typeof Addon;
  readonly bpf: Bpf | string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly iso: () => string;
  readonly controllers: readonly Controller[];
  /** Whether V8 compiles what runs often: there is something to rehearse for. */
  readonly compiles: boolean;
  readonly manager: ServiceManager | undefined;
  /** File descriptors that outlived an earlier run, by name. */
  readonly kept: ReadonlyMap<string, readonly number[]>;
  /** Where native programs lie (native/build). */
  readonly programs: string;
  /** Whether to leave routing and sysctls at the end as they are: putBack() is to follow, unless another start does. */
  readonly leaveHost: boolean;
  /** The daemon cannot go on. */
  readonly failed: (error: NetlinkError) => void;
}

export interface RunningDaemon {
  readonly daemon: Daemon;
  reload(cause: string): Promise<PolicyError | undefined>;
  /** Ends everything, and puts the host back as it was unless it is to be left. Connections live on. */
  stop(): Promise<void>;
}

/** @throws PolicyError, NetlinkError, or an Error that says what to do */
export async function startDaemon(
  file: string,
  controlPath: string,
  outside: Outside,
): Promise<RunningDaemon> {
  const { about, addon, clock, log, manager } = outside;
  const now = (): number => clock.now();
  await refuseIfServed(controlPath, addon.peerCredentials);
  const folder = dirname(controlPath);
  const reader = { controllers: outside.controllers, uid: about.uid };
  const policyFile = new PolicyFile(file, { reader, clock, log }, apply);
  let policy: Policy = await policyFile.load();
  let loaded = outside.iso();
  /** Done when the converter is as the policy says, or `stuck` says why not. */
  let converting: Promise<void> | undefined;
  let stuck: string | undefined;

  const pathManager = new PathManager(addon);
  const sockets = new SocketDiag(addon);
  const users = new Users(now);
  const identities = openIdentities(outside.bpf);
  const process = (token: Token): number | undefined => identities.identityOf(token)?.pid;
  const apps = new Apps({ now, ...socketsOf(sockets), process });
  const appSwitch = new AppSwitch(() => openMptcpSwitch(outside.bpf), { clock, log });
  const pinger = new Pinger(addon, clock, (event) => agent.handle(event));
  const userspaceNow = userspaceByDefault(clock);
  const kernel = new NetlinkKernel(pathManager, sockets, () => agent.now(), userspaceNow, pinger);
  const agent: Agent = new Agent({ kernel, clock, random: outside.random, log }, settings());
  const rtos = openRtoEvents(outside.bpf);
  const journal = new Journal(join(folder, 'host.json'), log);
  const host = new HostPaths(
    { kernel: new RtnetlinkHost(addon), journal, clock, log },
    hostSettings(policy),
    (event) => agent.handle(event),
  );
  const program = join(outside.programs, 'smapp-convert');
  const converter = new Converter({ machine: machine(), clock, log, program, folder });
  const via = new Via({ bpf: outside.bpf, clock, log });
  const facade: Host = {
    ...about,
    timeouts: () => `${rtos.mode}: ${rtos.reason}`,
    problems: () => [...appSwitch.problems, ...via.problems, ...(stuck ? [stuck] : [])],
    policy: () => ({ file, loaded, ...(policyFile.error && { error: policyFile.error.message }) }),
    // Who runs us may stop us: the unit's `systemctl reload` comes as our own user.
    mayChange: (uid) => uid === about.uid || policy.admin.includes(users.nameOf(uid) ?? ''),
    async reload() {
      const error = await reload('smappctl reload');
      if (error) return { file, ok: false, errors: error.message.split('\n') };
      await converting;
      return { file, ok: !stuck, errors: [], ...(stuck && { converter: stuck }) };
    },
    converter: () => (converter.pid === undefined ? undefined : converter.control),
  };
  const daemon = agentDaemon(agent, facade);

  host.start();
  journal.setSysctls({ 'net.mptcp.pm_type': 1 });
  const events = new KernelEvents(agent, pathManager, {
    gather: () => gatherSnapshot(sockets, now),
    log,
    failed: outside.failed,
    fd: outside.kept.get(KEPT_EVENTS)?.[0],
    receiveBuffer: policy.eventBuffer,
  });
  manager?.keep(KEPT_EVENTS, events.fd);
  await events.resync();
  rtos.watch((event) => agent.handle(event));
  inlineMore();
  const stage = { ...outside, sockets, host: facade, userspaceNow, policy };
  if (outside.compiles) for (const _ of rehearse(stage, REHEARSAL_SLICE)) await new Promise(setImmediate);
  const sampler = new Sampler(agent, clock, policy.sampleEvery, rtos.mode === 'sampling');
  const control = await serveControl(daemon, {
    path: controlPath,
    gid: groupId('smappd'),
    peerCredentials: addon.peerCredentials,
  });
  await converter.start(policy.converter).catch((error: Error) => {
    stuck = `the converter does not run: ${error.message}`;
    log.error({}, stuck);
  });
  appSwitch.configure(policy.apps);
  await via.configure(policy.apps);
  policyFile.watch();
  manager?.ready(status());
  log.info(
    { version: about.version, policy: file, connections: agent.connections.size, timeouts: rtos.mode },
    'ready',
  );

  function settings(): Settings {
    return { choose: chooser(policy, (facts) => apps.identify(facts)), openDeadline: policy.openDeadline };
  }

  function apply(next: Policy): void {
    policy = next;
    loaded = outside.iso();
    agent.configure(settings());
    appSwitch.configure(policy.apps);
    void via.configure(policy.apps);
    host.configure(hostSettings(policy));
    sampler.every = policy.sampleEvery;
    converting = converter.reload(policy.converter).then(
      () => {
        stuck = undefined;
      },
      (error: Error) => {
        stuck = `the converter runs as before: ${error.message}`;
        log.error({}, stuck);
      },
    );
  }

  function status(): string {
    return `${agent.connections.size} connections, policy ${file}`;
  }

  async function reload(cause: string): Promise<PolicyError | undefined> {
    manager?.reloading();
    const error = await policyFile.reload(cause);
    manager?.ready(status());
    return error;
  }

  return {
    daemon,
    reload,
    async stop() {
      manager?.stopping();
      policyFile.close();
      sampler.stop();
      rtos.close();
      identities.close();
      appSwitch.close();
      via.close();
      pinger.close();
      await control.close();
      await converter.stop().catch((err) => log.warn({ err }, 'the converter left something behind'));
      events.close();
      host.stop(outside.leaveHost);
      if (!outside.leaveHost) journal.setSysctls({});
    },
  };
}
