/** Results of benchmarks and experiments: one shape, kept under test/results/, printed as a table or as JSON. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One distribution: who did it (`variant`), under which conditions (`case`), what was measured (`metric`). */
export interface Row {
  readonly variant: string;
  readonly case: string;
  readonly metric: string;
  readonly unit: string;
  readonly n: number;
  readonly min: number;
  readonly mean: number;
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  /** Runs that did not finish, when there were any. */
  readonly unfinished?: number;
}

export interface Result {
  readonly name: string;
  readonly kernel: string;
  readonly when: string;
  readonly goal: string;
  readonly rows: readonly Row[];
  /** What a figure needs beyond the distributions, or a reader to judge them: samples, counters, settings. */
  readonly detail?: unknown;
}

/** Works from the sources as from dist/, which lies one level deeper. */
const checkout = fileURLToPath(
  new URL(import.meta.url.includes('/dist/') ? '../../..' : '../..', import.meta.url),
);

/** Where results are kept: test/results/ in the checkout. */
export const resultsDirectory = join(checkout, 'test/results');

/** Without samples the statistics are NaN, null in JSON. */
export function distribution(
  of: Pick<Row, 'variant' | 'case' | 'metric' | 'unit'>,
  samples: readonly number[],
  unfinished = 0,
): Row {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (q: number): number =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN);
  const mean = round(sorted.reduce((sum, sample) => sum + sample, 0) / sorted.length);
  return {
    ...of,
    n: sorted.length,
    min: at(0),
    mean,
    median: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    max: at(1),
    ...(unfinished > 0 && { unfinished }),
  };
}

export function result(
  name: string,
  goal: string,
  rows: readonly Row[],
  detail?: unknown,
  kernel = release(),
): Result {
  return {
    name,
    kernel,
    when: new Date().toISOString(),
    goal,
    rows,
    ...(detail === undefined ? {} : { detail }),
  };
}

export function keep(result: Result): string {
  mkdirSync(resultsDirectory, { recursive: true });
  const path = join(resultsDirectory, `${result.name}.json`);
  const { rows, detail, ...about } = result;
  const lines = rows.map((row) => ` ${JSON.stringify(row)}`).join(',\n');
  const more = detail === undefined ? '' : `,\n"detail": ${JSON.stringify(detail)}`;
  writeFileSync(path, `${JSON.stringify(about).slice(0, -1)},\n"rows": [\n${lines}\n]${more}}\n`);
  return path;
}

/** Throws when there is none yet: the message says which command makes it. */
export function kept(name: string, command: string): Result {
  try {
    return JSON.parse(readFileSync(join(resultsDirectory, `${name}.json`), 'utf8')) as Result;
  } catch {
    throw new Error(`no results of ${name} yet: run ${command}`);
  }
}

/** One line a row, columns aligned. */
export function table({ name, kernel, goal, rows }: Result): string {
  const cells = [
    ['variant', 'case', 'metric', 'unit', 'n', 'min', 'median', 'mean', 'p90', 'p99', 'max', 'unfinished'],
    ...rows.map((row) =>
      [
        row.variant,
        row.case,
        row.metric,
        row.unit,
        row.n,
        row.min,
        row.median,
        row.mean,
        row.p90,
        row.p99,
        row.max,
        row.unfinished ?? '',
      ].map((cell) => (Number.isNaN(cell) ? '' : String(cell))),
    ),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  const lines = cells.map((line) =>
    line
      .map((cell, column) => (column < 4 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
  return `${name} on Linux ${kernel}; goal: ${goal}\n${lines.join('\n')}`;
}

/** Four significant digits are more than any of this is good for. */
function round(value: number): number {
  return Number(value.toPrecision(4));
}
