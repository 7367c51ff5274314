/**
 * How long the agent takes to rebuild its state from the kernel, at 1, 10 and 50 thousand real subflows in a
 * namespace, and for how long it holds up its event loop meanwhile. The controllers are attached too.
 */
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { machineClock } from '../../agent/clock.ts';
import { NetlinkKernel } from '../../agent/commands.ts';
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
const ROUNDS = 5;
/** A process has only so many file descriptors, and an address only so many ports. */
const PER_PROCESS = 8000;

interface Reading {
  readonly subflows: number;
  readonly ms: number;
  readonly blocked: number;
}

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
      for (let left = size / 2, n = 1; left > 0; left -= PER_PROCESS, n++) {
        const args = [SELF, 'hold', String(Math.min(left, PER_PROCESS)), `127.0.0.${n}`];
        const holder = namespace.start(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        await once(holder.stdout!, 'data');
      }
      const readings = JSON.parse(namespace.run(process.execPath, SELF, 'measure')) as Reading[];
      const of = { variant: 'smappd', case: `subflows=${readings[0]!.subflows}`, unit: 'ms' };
      rows.push(
        distribution(
          { ...of, metric: 'resync' },
          readings.map(({ ms }) => ms),
        ),
      );
      rows.push(
        distribution(
          { ...of, metric: 'blocked' },
          readings.map(({ blocked }) => blocked),
        ),
      );
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

async function measure(): Promise<void> {
  const addon = loadAddon();
  const now = machineClock.now;
  const pathManager = new PathManager(addon);
  const sockets = new SocketDiag(addon);
  const kernel = new NetlinkKernel(pathManager, sockets, now, userspaceByDefault(machineClock));
  const params = Object.fromEntries(
    Object.entries(backup.params).map(([name, { fallback }]) => [name, fallback]),
  );
  const choice = { app: '', controller: backup, params, why: '' };
  const readings: Reading[] = [];
  for (let round = 0; round < ROUNDS + 1; round++) {
    const agent = new Agent(
      { kernel, clock: machineClock, random: Math.random, log: silent },
      { choose: () => choice, openDeadline: 5000 },
    );
    const events = new KernelEvents(agent, pathManager, {
      gather: () => gatherSnapshot(sockets, now),
      log: silent,
      failed: (error) => {
        throw error;
      },
      fd: undefined,
      receiveBuffer: 16 << 20,
    });
    let blocked = 0;
    let turn = now();
    let watching = true;
    const watch = (): void => {
      blocked = Math.max(blocked, now() - turn);
      turn = now();
      if (watching) setImmediate(watch);
    };
    watch();
    const began = now();
    await events.resync();
    const ms = now() - began;
    watching = false;
    events.close();
    const subflows = [...agent.connections.values()].reduce(
      (sum, connection) => sum + connection.subflows.length,
      0,
    );
    if (round > 0) readings.push({ subflows, ms, blocked }); // the first one warms up
    agent.resync({ connections: [] }); // ends the timers of its controllers
  }
  console.log(JSON.stringify(readings));
}

if (process.argv[1] === SELF) {
  if (process.argv[2] === 'hold') await hold(Number(process.argv[3]), process.argv[4]!);
  else await measure();
}
