/**
 * How long the agent takes to rebuild its state from the kernel, at 1, 10 and 50 thousand real subflows in a
 * namespace, and for how long it holds up its event loop meanwhile. The controllers are attached too.
 *
 * Each round is a process of its own, which does it twice: as the daemon does when it starts, knowing nothing
 * (`restart`), and as after lost events, when it knows all already (`overrun`).
 */
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { machineClock } from '../../agent/clock.ts';
import { NetlinkKernel } from '../../agent/commands.ts';
import { compileEarly, inlineMore } from '../../agent/engine.ts';
import { KernelEvents } from '../../agent/events.ts';
import { userspaceByDefault } from '../../agent/host/pm-type.ts';
import { loadAddon } from '../../agent/netlink/addon.ts';
import { PathManager } from '../../agent/netlink/mptcp-pm.ts';
import { SocketDiag } from '../../agent/netlink/sock-diag.ts';
import { Agent } from '../../agent/runtime.ts';
import { gatherSnapshot } from '../../agent/snapshot.ts';
import backup from '../../controllers/backup.ts';
import { Namespace } from '../netns/namespaces.ts';
import { silent } from './null-kernel.ts';
import { distribution, type Result, result } from './results.ts';

const SELF = fileURLToPath(import.meta.url);
const SIZES = [1000, 10_000, 50_000];
const ROUNDS = 10;
const CASES = ['restart', 'overrun'] as const;
/** A process has only so many file descriptors, and an address only so many ports. */
const PER_PROCESS = 8000;

interface Reading {
  readonly resync: number;
  readonly blocked: number;
}

type Readings = Record<(typeof CASES)[number], Reading> & { readonly subflows: number };

export async function run(progress: (text: string) => void): Promise<Result> {
  const rows = [];
  for (const size of SIZES) {
    progress(`${size} subflows`);
    const namespace = new Namespace('resync');
    try {
      namespace.sysctl({
        'net.mptcp.pm_type': 1,
        'net.mptcp.blackhole_timeout': 0,
        'net.ipv4.ip_local_port_range': '10000 60000',
      });
      namespace.ip('link set lo up\n');
      const ips: string[] = [];
      for (let left = size / 2; left > 0; left -= PER_PROCESS) {
        const ip = `127.0.0.${ips.length + 1}`;
        const args = [SELF, 'hold', String(Math.min(left, PER_PROCESS)), ip];
        const holder = namespace.start(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        await once(holder.stdout!, 'data');
        ips.push(ip);
      }
      const rounds = Array.from(
        { length: ROUNDS },
        () => JSON.parse(namespace.run(process.execPath, SELF, 'measure', ...ips)) as Readings,
      );
      for (const name of CASES) {
        for (const metric of ['resync', 'blocked'] as const) {
          rows.push(
            distribution(
              { variant: 'smappd', case: `subflows=${rounds[0]!.subflows},${name}`, metric, unit: 'ms' },
              rounds.map((readings) => readings[name][metric]),
            ),
          );
        }
      }
    } finally {
      namespace.remove();
    }
  }
  return result('resync', 'the event loop is never blocked for more than 10 ms', rows);
}

/** Holds so many connections to itself at an address of its own: each has a subflow at either end. */
async function hold(connections: number, ip: string): Promise<void> {
  const addon = loadAddon();
  const sockets: Socket[] = [];
  const listener = addon.streamSocket(4);
  addon.bindSocket(listener, ip, 5000);
  const server = createServer((socket) => sockets.push(socket));
  await new Promise<void>((done) => server.listen({ fd: listener, backlog: 4096 }, done));
  let left = connections;
  const connect = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = new Socket({ fd: addon.streamSocket(4), manualStart: true } as object);
      socket.connect(5000, ip);
      await once(socket, 'connect');
      socket.write('x'); // only then is it fully established
      sockets.push(socket);
    }
  };
  await Promise.all(Array.from({ length: 32 }, connect));
  console.log('ready');
}

/** What the daemon has at its start: its priority and engine, and the host's addresses. */
async function measure(ips: readonly string[]): Promise<void> {
  setPriority(-20);
  compileEarly();
  const addon = loadAddon();
  const now = machineClock.now;
  const pathManager = new PathManager(addon);
  const sockets = new SocketDiag(addon);
  const kernel = new NetlinkKernel(pathManager, sockets, now, userspaceByDefault(machineClock));
  const params = Object.fromEntries(
    Object.entries(backup.params).map(([name, { fallback }]) => [name, fallback]),
  );
  const choice = { app: '', controller: backup, params, why: '' };
  const agent = new Agent(
    { kernel, clock: machineClock, random: Math.random, log: silent },
    { choose: () => choice, openDeadline: 5000 },
  );
  for (const [at, ip] of ips.entries()) {
    const local = { ip, id: at + 1, ifname: 'lo', ifindex: 0, role: 'primary', metered: false } as const;
    agent.handle({ kind: 'local-up', local });
  }
  const events = new KernelEvents(agent, pathManager, {
    gather: () => gatherSnapshot(sockets, now),
    log: silent,
    failed: (error) => {
      throw error;
    },
    fd: undefined,
    receiveBuffer: 16 << 20,
  });
  const reading = async (): Promise<Reading> => {
    let blocked = 0;
    let turn = now();
    let watching = true;
    const watch = (): void => {
      blocked = Math.max(blocked, now() - turn);
      turn = now();
      if (watching) setImmediate(watch);
    };
    watch();
    const began = turn;
    await events.resync();
    watching = false;
    watch();
    return { resync: now() - began, blocked };
  };
  const restart = await reading();
  inlineMore();
  const overrun = await reading();
  // Some connections are plain TCP: the kernel's table of tokens may be too full for more.
  const subflows = [...agent.connections.values()].flatMap((connection) => connection.subflows).length;
  console.log(JSON.stringify({ restart, overrun, subflows } satisfies Readings));
  events.close();
}

if (process.argv[1] === SELF) {
  const [job, ...rest] = process.argv.slice(2);
  await (job === 'hold' ? hold(Number(rest[0]), rest[1]!) : measure(rest));
}
