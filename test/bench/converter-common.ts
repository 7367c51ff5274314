/** What the converter's benchmarks share: the world with everybody in it, and samples that become rows. */
import { type LoadResult, makeWorld, PORT, PROGRAM, SERVER, until, type World } from '../netns/converter.ts';
import { GATE, MPTCP_PORT, startRivals, type Variant } from './converter-rivals.ts';
import { distribution, type Row } from './results.ts';

export type Progress = (text: string) => void;

/** From the environment: for a quick look. */
export const ROUNDS = Number(process.env['ROUNDS'] ?? 8);
export const RATE = '2gbit';

/** Samples by variant, case and metric, in the order in which they first came. */
export class Samples {
  readonly #rows = new Map<
    string,
    { of: Pick<Row, 'variant' | 'case' | 'metric' | 'unit'>; values: number[] }
  >();

  add(variant: string, condition: string, metric: string, unit: string, ...values: number[]): void {
    const key = `${metric} ${condition} ${variant}`;
    let row = this.#rows.get(key);
    if (!row) {
      row = { of: { variant, case: condition, metric, unit }, values: [] };
      this.#rows.set(key, row);
    }
    row.values.push(...values);
  }

  rows(): Row[] {
    return [...this.#rows.values()].map(({ of, values }) => distribution(of, values));
  }
}

/** The world with servers, the rivals, and the converter in each of its ways. */
export async function populated(rate: string): Promise<{ world: World; variants: readonly Variant[] }> {
  const world = makeWorld(rate, 1, false);
  await world.serve();
  await world.serve(MPTCP_PORT, 'mptcp');
  const variants = [
    { name: 'converter', to: `${GATE}:9100`, pid: startConverter(world, 9100, 'off') },
    { name: 'converter-parallel', to: `${GATE}:9101`, pid: startConverter(world, 9101, 'parallel') },
    ...startRivals(world),
  ];
  for (const { to, http } of variants) {
    await until(
      () => ask(world, { to, ...(http ? { http } : {}) } as Variant, 100, 1, 1),
      ({ done }) => done === 1,
      20_000,
    );
  }
  return { world, variants };
}

export function startConverter(world: World, port: number, way: string, serverPort = PORT): number {
  const door = `forward,0.0.0.0:${port},${SERVER}:${serverPort}`;
  const args = [
    '--listen',
    door,
    '--threads',
    '2',
    '--syn-open',
    way,
    '--syn-rate',
    '1000000',
    '--control',
    control(world, port),
  ];
  return world.gate.start(PROGRAM, args, { stdio: ['ignore', 'ignore', 'inherit'] }).pid!;
}

export function control(world: World, port: number): string {
  return `${world.folder}/${port}.sock`;
}

/** `count` downloads of `size` bytes; with `seconds`, as many as are begun within them. */
export async function ask(
  world: World,
  { to, http }: Variant,
  size: number,
  count: number,
  clients: number,
  seconds = 30,
): Promise<LoadResult> {
  const proxy = http ? ['-H', `${SERVER}:${PORT}`] : [];
  return await world.run('get', '-s', seconds, ...proxy, to, size, count, clients);
}
