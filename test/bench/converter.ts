/**
 * The converter against its rivals: MiMBox's table and figures (HotMiddlebox'13, section 4), interleaved in
 * one run. One client, one path, the converter, one server, all on this machine: so a figure says how much
 * of the processors a variant leaves to the others, and only ratios within one run mean anything.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Times, World } from '../netns/converter.ts';
import { ask, type Progress, populated, RATE, ROUNDS, Samples } from './converter-common.ts';
import { delays } from './converter-delays.ts';
import { buffers, idle } from './converter-memory.ts';
import type { Variant } from './converter-rivals.ts';
import { kept, type Result, type Row, result } from './results.ts';

const CLIENTS = 40;
const FAST = '10gbit';

export async function run(progress: Progress): Promise<Result> {
  const rows: Row[] = [];
  const detail: Record<string, unknown> = { rounds: ROUNDS, rate: RATE };
  const parts = { throughput, fast, segments, delays, buffers, idle };
  // PARTS of it, by name: their rows take the place of those of before, the others' stay.
  const wanted = process.env['PARTS']?.split(',') as (keyof typeof parts)[] | undefined;
  for (const part of wanted ?? (Object.keys(parts) as (keyof typeof parts)[])) {
    rows.push(...(await parts[part](progress, detail)));
  }
  if (wanted) {
    const made = new Set(rows.map((row) => `${row.metric} ${row.case}`));
    rows.unshift(...keptRows().filter((row) => !made.has(`${row.metric} ${row.case}`)));
  }
  return result(
    'converter',
    'goodput >= 0.9 of forward and above every proxy; requests >= 1.1 haproxy and >= 5 squid; ' +
      'data delay <= 1.3 recvsend; SYN to SYN < 200 us at 10 ms of RTT; < 30 KB an idle connection',
    rows,
    detail,
  );
}

function keptRows(): readonly Row[] {
  try {
    return kept('converter', '').rows;
  } catch {
    return [];
  }
}

/** Ticks (10 ms) that all processors have worked. */
function busyTicks(): number {
  const [, user, nice, system, , , irq, softirq] = /^cpu .*/
    .exec(readFileSync('/proc/stat', 'utf8'))![0]!
    .split(/ +/)
    .map(Number);
  return user! + nice! + system! + irq! + softirq!;
}

/** Seconds of processor time that the relaying process has used, to the nanosecond: what contention changes least. */
function ownTime({ pid }: Variant): number {
  if (!pid) return 0;
  const threads = readdirSync(`/proc/${pid}/task`);
  const spent = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  );
  return spent.reduce((sum, ns) => sum + ns, 0) / 1e9;
}

/** Goodput, processor time a gigabyte, and requests a second: figures 4 and 5. The link is the limit. */
async function throughput(progress: Progress, detail: Record<string, unknown>): Promise<Row[]> {
  const samples = new Samples();
  const { world, variants } = await populated(RATE);
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      progress(`goodput and requests, round ${round} of ${ROUNDS}`);
      for (const variant of variants) {
        await download(world, variant, 'default', samples);
        await requests(world, variant, 1024, 0.5, '', samples);
        await requests(world, variant, 10_240, 0.3, '', samples);
        await requests(world, variant, 102_400, 0.3, '', samples);
        await requests(world, variant, 1_048_576, 0.5, '', samples);
        const echo = variant.http ? {} : await world.run('echo', variant.to, 1400, 300);
        if (echo['echo_us'])
          samples.add(variant.name, 'size=1400', 'echo', 'us', (echo['echo_us'] as Times).median);
      }
    }
    const counters = [
      'MPTcpExtMPTCPRetrans',
      'MPTcpExtMPCapableFallbackSYNACK',
      'MPTcpExtMPCapableSYNACKRX',
      'TcpRetransSegs',
    ];
    detail['counters of the client'] = Object.fromEntries(
      counters.map((name) => [name, world.counter(world.client, name)]),
    );
    return samples.rows();
  } finally {
    await world.remove();
  }
}

/** The same where the processors are the limit. */
async function fast(progress: Progress): Promise<Row[]> {
  const samples = new Samples();
  const { world, variants } = await populated(FAST);
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      progress(`goodput and requests at ${FAST}, round ${round} of ${ROUNDS}`);
      for (const variant of variants.filter(({ name }) => name !== 'node-pipe')) {
        await download(world, variant, `rate=${FAST}`, samples);
        await requests(world, variant, 1_048_576, 0.5, ` rate=${FAST}`, samples);
      }
    }
    return samples.rows();
  } finally {
    await world.remove();
  }
}

async function download(world: World, variant: Variant, condition: string, samples: Samples): Promise<void> {
  const size = 80_000_000;
  const [busy, own] = [busyTicks(), ownTime(variant)];
  const bulk = await ask(world, variant, size, 1, 1, 20);
  if (bulk['done'] !== 1) return;
  const { name, pid } = variant;
  samples.add(name, condition, 'goodput', 'Mbit/s', bulk['mbits'] as number);
  samples.add(name, condition, 'processors', 's/GB', ((busyTicks() - busy) / 100) * (1e9 / size));
  if (pid) samples.add(name, condition, 'relay_time', 's/GB', (ownTime(variant) - own) * (1e9 / size));
}

async function requests(
  world: World,
  variant: Variant,
  bytes: number,
  seconds: number,
  rest: string,
  samples: Samples,
): Promise<void> {
  const before = ownTime(variant);
  const many = await ask(world, variant, bytes, 1_000_000, CLIENTS, seconds);
  const condition = `size=${bytes}${rest}`;
  samples.add(variant.name, condition, 'requests', '1/s', many['rate'] as number);
  const each = ((ownTime(variant) - before) * 1e6) / (many['done'] as number);
  if (variant.pid) samples.add(variant.name, condition, 'relay_time', 'us', each);
}

/** Goodput over the size of segments: figure 4. */
async function segments(progress: Progress): Promise<Row[]> {
  const samples = new Samples();
  const { world, variants: all } = await populated(RATE);
  try {
    for (const mtu of [296, 576, 1000]) {
      progress(`goodput with an MTU of ${mtu}`);
      for (const namespace of [world.client, world.gate]) namespace.ip(`link set path0 mtu ${mtu}\n`);
      for (let round = 0; round < Math.min(2, ROUNDS); round++) {
        for (const variant of all.filter(({ name }) => name !== 'node-pipe')) {
          const bulk = await ask(world, variant, 30_000_000, 1, 1, 10);
          if (bulk['done'] === 1)
            samples.add(variant.name, `mtu=${mtu}`, 'goodput', 'Mbit/s', bulk['mbits'] as number);
        }
      }
    }
    return samples.rows();
  } finally {
    await world.remove();
  }
}
