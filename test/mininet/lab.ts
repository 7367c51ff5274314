/**
 * Runs an experiment in virtual machines and turns what the guests observed into samples. Runs are in virtual
 * time, so their outcome does not depend on how busy this machine is.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout } from '../vm/cache.ts';
import { archiveDaemon } from '../vm/daemon-files.ts';
import type { KernelVersion } from '../vm/kernel.ts';
import { guestPackages, runInVm } from '../vm/run.ts';
import type { Experiment, Manager, Measured, Observed, Segment } from './experiment.ts';
import { PROGRAMS } from './managers.ts';
import type { Samples, Trace } from './samples.ts';

/** What only the guest needs; libmptcpd3-dev is there to build the plugin with. */
const PACKAGES = ['mininet', 'mptcpd', 'libmptcpd3-dev', 'ethtool', 'nftables', 'python3'];
const SOURCES = join(checkout, 'test/mininet');

export interface LabOptions {
  readonly kernel: KernelVersion;
  /** Runs of every manager under every case; they differ by the guest's randomness. */
  readonly seeds: number;
  /** Names to run; all of them when absent. */
  readonly cases?: readonly string[] | undefined;
  readonly variants?: readonly string[] | undefined;
  /** Whether to record what goes into and comes out of smappd. */
  readonly record: boolean;
  /** Whether smappd runs without a compiler: an emulator is sooner done with it, but each decision takes longer. */
  readonly interpreted?: boolean;
  /** Virtual machines at the same time. */
  readonly machines: number;
  readonly say: (message: string) => void;
  /** Given what went wrong with a run that could not be made; without it, one such run fails the experiment. */
  readonly failed?: (message: string) => void;
  /** Given what the guests say of their progress, in their own seconds. */
  readonly detail?: ((text: string) => void) | undefined;
}

export interface Run {
  readonly variant: string;
  readonly case: string;
  readonly seed: number;
  readonly observed: Observed;
  readonly measured: readonly Measured[];
}

/** All runs that could be made, in the order of cases, managers and seeds. */
export async function runExperiment(experiment: Experiment, options: LabOptions): Promise<Run[]> {
  const wanted = (names: readonly string[] | undefined, name: string) => !names || names.includes(name);
  const seeds = Array.from({ length: options.seeds }, (_, index) => index + 1);
  const chosen: Group[] = experiment.cases
    .filter(({ name }) => wanted(options.cases, name))
    .flatMap(({ name, faults }) =>
      experiment.managers
        .filter(({ variant }) => wanted(options.variants, variant))
        .map((manager) => ({ case: name, manager, faults, seeds })),
    );
  const total = chosen.length * options.seeds;
  // Runs of one manager under one case share a network, but keep no machine idle.
  const parts = Math.max(1, Math.floor(options.machines / chosen.length));
  const groups = chosen.flatMap((group) =>
    Array.from({ length: Math.min(parts, options.seeds) }, (_, part) => ({
      ...group,
      seeds: seeds.filter((_, index) => index % parts === part),
    })),
  );

  const work = mkdtempSync(join(tmpdir(), 'smappd-lab-'));
  try {
    gatherPrograms(work, options.say);
    const machines = Math.min(options.machines, groups.length);
    const shares = Array.from({ length: machines }, (_, machine) =>
      groups.filter((_, index) => index % machines === machine),
    );
    let done = 0;
    const report = (run: Run) => {
      const figures = run.measured.map(({ metric, values, unit, missing }) =>
        values.length === 1
          ? `${metric} ${Number(values[0]!.toPrecision(4))} ${unit}`
          : `${values.length} ${metric}${missing ? `, ${missing} missing` : ''}`,
      );
      options.say(
        `${++done} of ${total}: ${run.case} ${run.variant} seed ${run.seed}: ${figures.join(', ')}`,
      );
    };
    const runs = await Promise.all(
      shares.map((share, index) =>
        runShare(experiment, options, share, join(work, `plan-${index}.json`), report),
      ),
    );
    const place = (run: Run) =>
      groups.findIndex(({ case: under, manager }) => under === run.case && manager.variant === run.variant);
    return runs.flat().sort((a, b) => place(a) - place(b) || a.seed - b.seed);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** The values of all runs by case, variant and metric. */
export function samplesOf(runs: readonly Run[]): Samples[] {
  const found = new Map<string, Samples & { values: number[]; missing: number }>();
  for (const run of runs)
    for (const { metric, unit, values, missing } of run.measured) {
      const key = `${run.case} ${run.variant} ${metric}`;
      let samples = found.get(key);
      if (!samples) {
        samples = { variant: run.variant, case: run.case, metric, unit, values: [], missing: 0 };
        found.set(key, samples);
      }
      samples.values.push(...values);
      samples.missing += missing ?? 0;
    }
  return [...found.values()];
}

/** The data of each manager's first run under one case, for the figure of sequences over time. */
export function tracesOf(runs: readonly Run[], traced: string | undefined): Trace[] {
  return runs
    .filter((run) => run.seed === 1 && run.case === traced)
    .map(({ variant, case: under, observed }) => {
      const data = observed.segments.filter(({ length, sequence }) => length > 0 && sequence !== undefined);
      const first = data[0]?.sequence ?? 0;
      const points = data.map(
        ({ at, interface: device, sequence }) =>
          [Number(at.toFixed(4)), device, (sequence! - first) >>> 0] as const,
      );
      return { variant, case: under, points };
    });
}

/** Runs that share a network: one manager under one case. */
interface Group {
  readonly case: string;
  readonly manager: Manager;
  readonly faults: Experiment['cases'][number]['faults'];
  readonly seeds: readonly number[];
}

/** All that the guests run and is not Debian's, as one archive. */
function gatherPrograms(work: string, say: LabOptions['say']): void {
  const include = join(guestPackages(PACKAGES, say), 'usr/include');
  const compiler = (...args: string[]) => execFileSync('gcc', ['-O2', '-Wall', '-Wextra', ...args]);
  // Static: no library of theirs is read from the host while time counts.
  mkdirSync(join(work, 'programs'));
  for (const name of ['traffic', 'trace'])
    compiler('-static', '-o', join(work, 'programs', name), join(SOURCES, `${name}.c`));
  compiler(
    '-shared',
    '-fPIC',
    `-I${include}`,
    '-o',
    join(work, 'programs/lab.so'),
    join(SOURCES, 'mptcpd-plugin.c'),
  );
  const archive = join(work, 'programs.tar');
  archiveDaemon(archive);
  execFileSync('tar', ['--append', `--file=${archive}`, `--directory=${join(work, 'programs')}`, '.']);
}

async function runShare(
  experiment: Experiment,
  options: LabOptions,
  share: readonly Group[],
  planFile: string,
  report: (run: Run) => void,
): Promise<Run[]> {
  const traffic = `${PROGRAMS}/traffic`;
  const plan = {
    ...experiment.network,
    programs: { from: join(planFile, '../programs.tar'), to: PROGRAMS },
    server: [traffic, ...experiment.server],
    tracer: `${PROGRAMS}/trace`,
    trace: experiment.trace,
    limit: experiment.limit,
    record: options.record,
    groups: share.map(({ manager, faults, seeds }, group) => ({
      manager,
      faults,
      client: [traffic, ...experiment.client(manager.transport)],
      runs: seeds.map((seed) => [group, seed]),
    })),
  };
  writeFileSync(planFile, JSON.stringify(plan));

  const total = share.flatMap(({ seeds }) => seeds).length;
  const runs: Run[] = [];
  const failures: string[] = [];
  let made = 0;
  let rest = '';
  const ended = await runInVm({
    kernel: options.kernel,
    command: ['/usr/bin/python3', join(SOURCES, 'guest.py'), planFile],
    // Virtual seconds cost up to about as many real ones on a busy machine.
    timeout: 600 + total * experiment.limit,
    packages: PACKAGES,
    virtualTime: true,
    ...(options.interpreted && { env: { NODE_OPTIONS: '--jitless' } }),
    ...(experiment.instruction && { instruction: experiment.instruction }),
    memory: 3072,
    say: options.say,
    onOutput(stream, text) {
      if (stream === 'stderr') options.detail?.(text.trimEnd());
      if (stream !== 'stdout') return;
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        made += 1;
        const run = read(experiment, share, line);
        if ('error' in run) failures.push(run.error);
        else {
          report(run);
          runs.push(run);
        }
      }
    },
  }).catch((error: Error) => {
    // Out of time, for instance on a busy machine: what was made until then counts.
    if (!options.failed || runs.length === 0) throw error;
    failures.push(`${error.message}\n${runs.length} of its ${total} runs were made, and are kept`);
  });
  if (ended && (ended.status !== 0 || made !== total))
    throw new Error(`the guest's lab failed, exit ${ended.status}:\n${ended.stderr}`);
  for (const failure of failures) {
    if (!options.failed) throw new Error(failure);
    options.failed(failure);
  }
  return runs;
}

/** One line of guest.py. */
function read(
  experiment: Experiment,
  share: readonly Group[],
  line: string,
): Run | { readonly error: string } {
  const { run, error, trace, ...rest } = JSON.parse(line);
  const [group, seed] = run as [number, number];
  const { case: under, manager } = share[group]!;
  if (error) return { error: `${experiment.name} ${under} ${manager.variant} seed ${seed}: ${error}` };
  const segments = segmentsOf(trace, rest.start);
  const observed: Observed = { ...rest, segments };
  return {
    variant: manager.variant,
    case: under,
    seed,
    observed,
    measured: experiment.measure(observed, under),
  };
}

function segmentsOf(trace: string, start: number): Segment[] {
  return trace
    .trimEnd()
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [time, device, sequence, length] = line.split(' ');
      return {
        at: Number(time) - start,
        interface: device!,
        sequence: sequence === '-' ? undefined : Number(sequence),
        length: Number(length),
      };
    });
}
