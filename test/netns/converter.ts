/**
 * A client with two paths, a converter between it and a server without MPTCP: what the converter's netns
 * tests and benchmarks run in. The router of namespaces.ts is the converter.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { machineClock } from '../../agent/clock.ts';
import { Converter } from '../../agent/converter/converter.ts';
import { machine } from '../../agent/converter/machine.ts';
import { type ConverterPolicy, converterSection } from '../../agent/converter/section.ts';
import {
  type ConvertedConnection,
  type DataPathStats,
  readConnections,
  readStats,
} from '../../agent/converter/status.ts';
import { benchProgram } from '../bench/converter-programs.ts';
import { makeNetwork, type Namespace, type Network } from './namespaces.ts';

// Tests run compiled, from dist/test/netns: what is not TypeScript stays where it is.
export const ROOT = new URL('../../../', import.meta.url).pathname;
export const PROGRAM = join(ROOT, 'native/build/smapp-convert');

export const SERVER = '10.1.0.2';
export const PORT = 8000;

/** Both ends of the traffic (converter-load.c). */
export function loadProgram(): string {
  const client = ['convert_client.c', 'convert.c', 'address.c'];
  return benchProgram('converter-load', ...client.map((name) => `native/converter/${name}`));
}

/** What converter-load prints; which members there are depends on the command. */
export type LoadResult = Readonly<Record<string, number | string | Times>>;
export interface Times {
  readonly n: number;
  readonly min: number;
  readonly mean: number;
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export class World {
  readonly network: Network;
  readonly folder: string;
  readonly converter: Converter;
  readonly log: string[] = [];

  constructor(network: Network) {
    this.network = network;
    this.folder = mkdtempSync(join(tmpdir(), 'smappd-converter-'));
    this.converter = this.another();
  }

  get client(): Namespace {
    return this.network.client;
  }

  get gate(): Namespace {
    return this.network.router!;
  }

  get server(): Namespace {
    return this.network.server;
  }

  /** A second agent's converter in the same place, as after a crash of the first. */
  another(): Converter {
    const note = (fields: object, text: string): void => {
      this.log.push(`${text} ${JSON.stringify(fields)}`);
    };
    return new Converter({
      machine: machine(['nsenter', `--net=${this.gate.path}`]),
      clock: machineClock,
      log: { info: note, warn: note },
      program: PROGRAM,
      folder: this.folder,
    });
  }

  /** Starts converter-load in a namespace. Its last line of JSON is the result; `lines` gives all as they come. */
  load(
    where: Namespace,
    args: readonly (string | number)[],
  ): { child: ChildProcess; result: Promise<LoadResult>; line: Promise<LoadResult> } {
    const child = spawn('nsenter', [`--net=${where.path}`, loadProgram(), ...args.map(String)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let last: LoadResult = {};
    let see: (line: LoadResult) => void = () => {};
    const line = new Promise<LoadResult>((done) => {
      see = done;
    });
    const lines = createInterface({ input: child.stdout! });
    lines.on('line', (text) => {
      last = JSON.parse(text);
      see(last);
    });
    const result = new Promise<LoadResult>((done) => lines.once('close', () => done(last)));
    return { child, result, line };
  }

  /** A client's command, to its end. */
  async run(...args: readonly (string | number)[]): Promise<LoadResult> {
    return await this.load(this.client, args).result;
  }

  /** A server; resolves when it listens. */
  async serve(port = PORT, protocol: 'tcp' | 'mptcp' | 'sink' = 'tcp'): Promise<ChildProcess> {
    const { child, line } = this.load(this.server, ['serve', port, protocol]);
    await line;
    return child;
  }

  stats(): Promise<DataPathStats> {
    return readStats(this.converter.control);
  }

  connections(): Promise<ConvertedConnection[]> {
    return readConnections(this.converter.control);
  }

  /** Open file descriptors of the data path. */
  files(pid = this.dataPath()): number {
    return readdirSync(`/proc/${pid}/fd`).length;
  }

  /** TCP sockets in the converter's namespace, those in TIME-WAIT left out. */
  sockets(): number {
    const tcp = /^TCP: inuse (\d+)/m.exec(this.gate.run('cat', '/proc/net/sockstat'))![1]!;
    const tcp6 = /^TCP6: inuse (\d+)/m.exec(this.gate.run('cat', '/proc/net/sockstat6'))![1]!;
    return Number(tcp) + Number(tcp6);
  }

  processorTicks(): number {
    return processorTicks(this.dataPath());
  }

  dataPath(): number {
    return this.converter.pid!;
  }

  /** A counter of `nstat` since the namespace was made. */
  counter(where: Namespace, name: string): number {
    return Number(new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(where.run('nstat', '-asz'))?.[1] ?? 0);
  }

  async remove(): Promise<void> {
    await this.converter.stop();
    this.network.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The policy's `converter` as somebody writes it. */
export function policy(written: object): ConverterPolicy {
  return converterSection.parse(written);
}

/** Transparent conversion of the client's paths. */
export function transparent(more: object = {}): ConverterPolicy {
  return policy({
    transparent: { interfaces: ['path0', 'path1'], ports: [PORT, PORT + 1] },
    allow: ['10.0.0.0/8', '2001:db8::/32'],
    ...more,
  });
}

/**
 * The network, without anything that runs in it. The client opens a second subflow by itself. Benchmarks take it
 * not `steered`, because an interrupt to another processor for each packet is no part of what they compare.
 */
export function makeWorld(rate = '1gbit', paths = 2, steered = true): World {
  const network = makeNetwork({ paths, router: true, userspace: false, rate });
  const world = new World(network);
  for (const namespace of [world.client, world.gate])
    namespace.run('ip', 'mptcp', 'limits', 'set', 'subflow', '2', 'add_addr_accepted', '2');
  for (const path of network.paths.slice(1)) {
    world.client.run('ip', 'mptcp', 'endpoint', 'add', path.client.ip4, 'dev', path.ifname, 'subflow');
    world.client.run('ip', 'mptcp', 'endpoint', 'add', path.client.ip6, 'dev', path.ifname, 'subflow');
  }
  const common = {
    'net.ipv4.ip_local_port_range': '2000 65000',
    'net.ipv4.tcp_tw_reuse': 1,
    'net.core.somaxconn': 8192,
  };
  world.gate.sysctl({
    ...common,
    'net.mptcp.blackhole_timeout': 0,
    'net.ipv4.tcp_rmem': '4096 4194304 8388608',
  });
  world.client.sysctl(common);
  world.server.sysctl(common);
  if (steered) for (const namespace of [world.client, world.gate, world.server]) namespace.steerPackets();
  return world;
}

/** Waits until something holds; rejects after `timeout` ms with what was seen last. */
export async function until<T>(
  look: () => T | Promise<T>,
  holds: (value: T) => boolean,
  timeout = 5000,
): Promise<T> {
  const end = Date.now() + timeout;
  for (;;) {
    const value = await look();
    if (holds(value)) return value;
    if (Date.now() > end) throw new Error(`not within ${timeout} ms; last seen: ${JSON.stringify(value)}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Whether a process still runs. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Processor time that a process has used, in ticks (10 ms). */
export function processorTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
