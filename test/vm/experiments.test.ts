/**
 * The papers' experiments with few runs each: that the lab works, and that each controller does what it is for.
 * What the experiments measure is in the results of `npm run lab`; here are bounds with much room.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Experiment } from '../mininet/experiment.ts';
import { backup } from '../mininet/experiments/backup.ts';
import { ecmp } from '../mininet/experiments/ecmp.ts';
import { longLived } from '../mininet/experiments/long-lived.ts';
import { streaming } from '../mininet/experiments/streaming.ts';
import { runExperiment, samplesOf } from '../mininet/lab.ts';
import { KERNELS, type KernelVersion } from './kernel.ts';
import { sayOnStderr } from './run.ts';

/** The values that smappd gave in `runs` runs under each of `cases`, by case and metric; each must be complete. */
async function measure(
  experiment: Experiment,
  seeds: number,
  cases: readonly string[],
  kernel: KernelVersion = '6.12',
) {
  const options = {
    kernel,
    seeds,
    cases,
    variants: ['smappd'],
    machines: 2,
    record: false,
    interpreted: true,
  } as const;
  const samples = samplesOf(await runExperiment(experiment, { ...options, say: sayOnStderr }));
  return (under: string, metric: string): number[] => {
    const found = samples.find((one) => one.case === under && one.metric === metric);
    assert.ok(found, `${under} ${metric}`);
    assert.equal(found.missing, 0, `${metric} under ${under}: ${found.missing} never came`);
    return [...found.values].sort((a, b) => a - b);
  };
}

const median = (values: readonly number[]): number => values[Math.floor((values.length - 1) / 2)]!;

for (const kernel of KERNELS) {
  test(`backup, Linux ${kernel}: silent before the loss, quick when it comes, then back on the primary path`, async () => {
    const of = await measure(backup, 2, ['recovery'], kernel);
    assert.ok(median(of('recovery', 'mean_block_delay')) < 1, String(of('recovery', 'mean_block_delay')));
    assert.equal(of('recovery', 'early_backup').at(-1), 0);
    assert.ok(median(of('recovery', 'return')) < 10, String(of('recovery', 'return')));
  });
}

test('streaming: the second path is unused without loss, and keeps blocks in time with it', async () => {
  const of = await measure(streaming, 2, ['loss=0', 'loss=30']);
  assert.equal(of('loss=0', 'second_path').at(-1), 0);
  assert.ok(median(of('loss=30', 'block_delay')) < 0.25, String(of('loss=30', 'block_delay')));
  assert.ok(of('loss=30', 'block_delay').at(-1)! < 3, String(of('loss=30', 'block_delay')));
});

test('ecmp: finds the unused paths, and sends little twice', async () => {
  const of = await measure(ecmp, 2, ['paths=4']);
  assert.ok(median(of('paths=4', 'completion')) < 34, String(of('paths=4', 'completion')));
  assert.ok(median(of('paths=4', 'bytes_on_wire')) < 1.05e8, String(of('paths=4', 'bytes_on_wire')));
});

test('long-lived: silent while idle, and a forgotten connection answers in less than a second', async () => {
  // Slow processors are quick to emulate, and good enough for these bounds.
  const of = await measure({ ...longLived, instruction: 2 }, 1, ['drop', 'reset']);
  for (const under of ['drop', 'reset']) {
    assert.equal(of(under, 'packets_between').at(-1), 0);
    assert.ok(median(of(under, 'answer')) < 1000, String(of(under, 'answer')));
  }
});
