/**
 * `npm run lab -- NAME`: runs one of the papers' experiments in Mininet, prints its results and keeps them
 * under test/results/.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { distribution, keep, kept, result, table } from '../bench/results.ts';
import { KERNELS, kernel } from '../vm/kernel.ts';
import { backup } from './experiments/backup.ts';
import { ecmp } from './experiments/ecmp.ts';
import { longLived } from './experiments/long-lived.ts';
import { streaming } from './experiments/streaming.ts';
import { type Run, runExperiment, samplesOf, tracesOf } from './lab.ts';
import type { LabDetail, Samples } from './samples.ts';

const experiments = [backup, streaming, ecmp, longLived];
const names = experiments.map(({ name }) => name).join('|');
const usage = `usage: npm run lab -- ${names} [OPTION]...
  --seeds N           runs of every variant under every case (10)
  --cases A,B         these only; so with --variants A,B
  --kernel VERSION    ${KERNELS.join(' or ')} (6.12)
  --machines N        virtual machines at the same time (one a processor, at most 2)
  --add               keep the other variants' and cases' results of before
  --record DIRECTORY  keep what goes into and comes out of smappd, for smappctl replay
  --json              the results as one object
  --verbose           what the guests say, and all that was observed`;

const say = (message: string) => process.stderr.write(`lab: ${message}\n`);

function read() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seeds: { type: 'string', default: '10' },
      kernel: { type: 'string', default: '6.12' },
      cases: { type: 'string' },
      variants: { type: 'string' },
      machines: { type: 'string', default: String(Math.min(2, availableParallelism())) },
      add: { type: 'boolean', default: false },
      record: { type: 'string' },
      json: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${usage}\n`);
    process.exit();
  }
  const experiment = experiments.find(({ name }) => name === positionals[0]);
  const version = KERNELS.find((one) => one === values.kernel);
  const seeds = Number(values.seeds);
  if (!experiment || positionals.length !== 1) throw new Error(`name one experiment of ${names}`);
  if (!version) throw new Error(`--kernel ${values.kernel}: there are ${KERNELS.join(' and ')}`);
  if (!Number.isInteger(seeds) || seeds < 1)
    throw new Error(`--seeds ${values.seeds}: give a whole number from 1`);
  const machines = Number(values.machines);
  if (!Number.isInteger(machines) || machines < 1)
    throw new Error(`--machines ${values.machines}: give a whole number from 1`);
  const list = (text: string | undefined, known: readonly string[], option: string) => {
    const chosen = text?.split(',');
    const unknown = chosen?.find((one) => !known.includes(one));
    if (unknown !== undefined) throw new Error(`--${option} ${unknown}: there are ${known.join(', ')}`);
    return chosen;
  };
  return {
    ...values,
    experiment,
    kernel: version,
    seeds,
    machines,
    cases: list(
      values.cases,
      experiment.cases.map(({ name }) => name),
      'cases',
    ),
    variants: list(
      values.variants,
      experiment.managers.map(({ variant }) => variant),
      'variants',
    ),
  };
}

/** The others are kept; who reads the exit status learns of it. */
function failed(message: string): void {
  say(message);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { experiment, json, verbose, record, add, ...options } = read();
  const runs = await runExperiment(experiment, {
    ...options,
    record: record !== undefined,
    say,
    failed,
    detail: verbose ? say : undefined,
  });
  if (record !== undefined) keepRecordings(experiment.name, runs, record);
  if (verbose)
    for (const { variant, case: under, seed, observed } of runs) {
      const { segments, recording: _, ...rest } = observed;
      say(`${under} ${variant} seed ${seed}, ${segments.length} segments: ${JSON.stringify(rest, null, 1)}`);
    }
  const { release } = kernel(options.kernel, say);
  const made: LabDetail = { samples: samplesOf(runs), traces: tracesOf(runs, experiment.tracedCase) };
  const detail = add ? joined(earlier(experiment.name, release), made) : made;
  const rows = detail.samples.map((one) => distribution(named(one), one.values, one.missing));
  const all = result(experiment.name, experiment.goal, rows, detail, release);
  keep(all);
  process.stdout.write(`${json ? JSON.stringify(all) : table(all)}\n`);
}

function earlier(name: string, release: string): LabDetail {
  const { kernel: then, detail } = kept(name, `npm run lab -- ${name}`);
  if (then !== release)
    throw new Error(`--add: the kept results of ${name} are from Linux ${then}, not ${release}`);
  return detail as LabDetail;
}

/** What was kept of other variants and cases, and what was made now. */
function joined(old: LabDetail, made: LabDetail): LabDetail {
  type Of = { readonly variant: string; readonly case: string };
  const others = <T extends Of>(list: readonly T[], now: readonly T[]): T[] =>
    list.filter((one) => !now.some((other) => other.variant === one.variant && other.case === one.case));
  return {
    samples: [...others(old.samples, made.samples), ...made.samples],
    traces: [...others(old.traces, made.traces), ...made.traces],
  };
}

/** One file a run, for `smappctl replay`. */
function keepRecordings(name: string, runs: readonly Run[], directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (const { case: under, seed, observed } of runs)
    if (observed.recording)
      writeFileSync(join(directory, `${name}-${under}-${seed}.jsonl`), observed.recording);
}

function named({ variant, case: under, metric, unit }: Samples) {
  return { variant, case: under, metric, unit };
}

try {
  await main();
} catch (error) {
  process.stderr.write(`lab: ${error instanceof Error ? error.message : error}\n${usage}\n`);
  process.exitCode = 1;
}
