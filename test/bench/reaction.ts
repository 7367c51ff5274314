/**
 * How soon the second subflow is opened: from the SYN with MP_CAPABLE to the SYN with MP_JOIN, by the in-kernel
 * path manager, by mptcpd and by smappd (SMAPP, section 4.4 and figure 3).
 *
 * Each manager has a client and a server of its own. They take turns, in random order, each round, on an idle
 * machine and with every processor busy. Packets get their time in the kernel, before any queue, and are matched
 * by the connection's token. Of each manager the first round is not counted: JavaScript is compiled in it.
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { makeNetwork, type Network } from '../netns/namespaces.ts';
import { checkout } from '../vm/cache.ts';
import { type Manager, managers, PORT, type Stop } from './reaction-managers.ts';
import { distribution, type Result, result } from './results.ts';

const ROUNDS = 24;
const CONNECTIONS = 50;
/** What SMAPP's client fetched. */
const BYTES = 512 * 1024;
const CASES = ['idle', 'stress'] as const;
const MP_CAPABLE = 0;
const MP_JOIN = 1;
/** Of MPTCP, that tell whether runs were sound: fallbacks, and a stall of veth links that Linux 6.18 has. */
const COUNTERS = ['MPTCPRetrans', 'MPCapableFallbackACK', 'MPFallbackTokenInit', 'MPCapableSYNTXDrop'];

const SOURCES = join(checkout, 'test/bench');
const PROGRAMS = fileURLToPath(new URL('.', import.meta.url));
const [traffic, stamp, stampObject] = ['reaction-traffic', 'reaction-stamp', 'reaction-stamp.bpf.o'].map(
  (name) => join(PROGRAMS, name),
) as [string, string, string];

type Case = (typeof CASES)[number];

export async function run(
  progress: (text: string) => void,
  { rounds = ROUNDS, connections = CONNECTIONS } = {},
): Promise<Result> {
  build();
  const sides: Side[] = [];
  const loads: number[] = [];
  let busy: ChildProcess[] = [];
  try {
    for (const [variant, manager] of Object.entries(managers)) sides.push(await Side.start(variant, manager));
    for (let round = 0; round <= rounds; round++) {
      loads.push(loadavg()[0]!);
      progress(`round ${round} of ${rounds}, load ${loads.at(-1)}`);
      for (const under of CASES) {
        if (under === 'stress') {
          busy = Array.from({ length: availableParallelism() }, () => sides[0]!.burn());
          await sleep(200);
        }
        for (const side of shuffled(sides)) await side.fetch(round === 0 ? undefined : under, connections);
        for (const one of busy) one.kill('SIGKILL');
        busy = [];
      }
    }
    const counters = Object.fromEntries(sides.map((side) => [side.variant, side.counters()]));
    return report(await Promise.all(sides.map(async (side) => [side.variant, await side.times()] as const)), {
      loads,
      counters,
    });
  } finally {
    for (const one of busy) one.kill('SIGKILL');
    for (const side of sides) await side.stop();
  }
}

function report(times: readonly (readonly [string, Times])[], detail: object): Result {
  const samples = CASES.flatMap((under) =>
    times.map(([variant, of]) => ({
      variant,
      case: under,
      metric: 'syn_to_join',
      unit: 'us',
      values: of[under].filter((one) => one !== undefined),
      missing: of[under].filter((one) => one === undefined).length,
    })),
  );
  const rows = samples.map(({ values, missing, ...of }) => ({
    ...distribution(of, values),
    ...(missing > 0 && { unfinished: missing }),
  }));
  const base = (under: string): number =>
    rows.find(({ variant, case: of }) => variant === 'kernel' && of === under)!.median;
  const added = samples.map(({ values, missing: _, ...of }) =>
    distribution(
      { ...of, metric: 'added' },
      values.map((value) => value - base(of.case)),
    ),
  );
  const goal =
    "median added to the in-kernel manager's at most 23 us idle and 37 us with stress (SMAPP), and at most mptcpd's; p99 at most mptcpd's";
  return result('reaction', goal, [...rows, ...added], { samples, traces: [], ...detail });
}

/** Microseconds of each connection, undefined where no MP_JOIN came. */
type Times = Readonly<Record<Case, readonly (number | undefined)[]>>;

interface Connection {
  readonly port: number;
  readonly token: number;
  readonly under: Case | undefined;
}

/** One manager with its network, in which connections are made and their SYNs noted. */
class Side {
  readonly variant: string;
  readonly #network: Network;
  readonly #stopManager: Stop;
  readonly #stamper: ChildProcess;
  readonly #connections: Connection[] = [];

  private constructor(variant: string, network: Network, stopManager: Stop, stamper: ChildProcess) {
    this.variant = variant;
    this.#network = network;
    this.#stopManager = stopManager;
    this.#stamper = stamper;
  }

  static async start(variant: string, manager: Manager): Promise<Side> {
    const network = makeNetwork({ userspace: false });
    const { client, server, paths } = network;
    server.run('ip', 'mptcp', 'limits', 'set', 'subflows', '8');
    const stdio = ['pipe', 'pipe', 'inherit'] as ['pipe', 'pipe', 'inherit'];
    await ready(server.start(traffic, ['serve', String(PORT), String(BYTES)], { stdio }));
    const stamper = client.start(stamp, [stampObject, ...paths.map(({ ifname }) => ifname)], { stdio });
    await ready(stamper);
    return new Side(variant, network, await manager(network), stamper);
  }

  /** Keeps a processor busy; ends with the network at the latest. */
  burn(): ChildProcess {
    return this.#network.client.start('sh', ['-c', 'while :; do :; done']);
  }

  async fetch(under: Case | undefined, count: number): Promise<void> {
    const args = ['fetch', this.#network.paths[0]!.server.ip4, String(PORT), String(count)];
    const child = this.#network.client.start(traffic, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    for (const line of (await text(child.stdout!)).trim().split('\n')) {
      const [port, token] = line.split(' ').map(Number) as [number, number];
      this.#connections.push({ port, token, under });
    }
  }

  /** Ends the stamping. */
  async times(): Promise<Times> {
    const printed = text(this.#stamper.stdout!);
    this.#stamper.stdin!.end();
    const stamps = (await printed)
      .trim()
      .split('\n')
      .map(
        (line) => line.split(' ').map(Number) as [subtype: number, at: number, port: number, token: number],
      );
    const joins = new Map<number, number>();
    for (const [subtype, at, , token] of stamps)
      if (subtype === MP_JOIN && !joins.has(token)) joins.set(token, at);
    const synToJoin = ({ port, token }: Connection): number | undefined => {
      const join = joins.get(token);
      const syn = stamps.findLast(
        ([subtype, at, from]) => subtype === MP_CAPABLE && from === port && at < (join ?? 0),
      );
      return join === undefined || syn === undefined ? undefined : (join - syn[1]) / 1000;
    };
    const of = (wanted: Case) => this.#connections.filter(({ under }) => under === wanted).map(synToJoin);
    return { idle: of('idle'), stress: of('stress') };
  }

  counters(): Readonly<Record<string, number>> {
    const all = this.#network.client.run('nstat', '--zeros', '--json', 'MPTcpExt*');
    const { kernel } = JSON.parse(all) as { kernel: Record<string, number> };
    return Object.fromEntries(COUNTERS.map((name) => [name, kernel[`MPTcpExt${name}`] ?? 0]));
  }

  async stop(): Promise<void> {
    await this.#stopManager();
    this.#network.remove();
  }
}

function build(): void {
  const cc = ['-O2', '-Wall', '-Wextra'];
  execFileSync('cc', [...cc, '-o', traffic, join(SOURCES, 'reaction-traffic.c')], { stdio: 'inherit' });
  execFileSync('cc', [...cc, '-o', stamp, join(SOURCES, 'reaction-stamp.c'), '-lbpf'], { stdio: 'inherit' });
  const headers = execFileSync('gcc', ['-print-multiarch'], { encoding: 'utf8' }).trim();
  const bpf = ['-target', 'bpf', '-mcpu=v3', '-g', `-I/usr/include/${headers}`];
  execFileSync(
    'clang',
    ['-O2', '-Wall', ...bpf, '-c', '-o', stampObject, join(SOURCES, 'reaction-stamp.bpf.c')],
    {
      stdio: 'inherit',
    },
  );
}

async function ready(child: ChildProcess): Promise<void> {
  await once(child.stdout!, 'data');
}

function shuffled<T>(of: readonly T[]): T[] {
  return of
    .map((one) => [Math.random(), one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one);
}
