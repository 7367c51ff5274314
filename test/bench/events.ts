/**
 * How many events a second the whole chain takes: bytes decoded, state kept, the controller called. Whole
 * lives of connections with two subflows, by each controller; the kernel behind it takes commands at no cost.
 */
import { machineClock } from '../../agent/clock.ts';
import { decodeEvent } from '../../agent/netlink/mptcp-pm.ts';
import { Agent } from '../../agent/runtime.ts';
import { controllers } from '../../controllers/all.ts';
import { encodeLives } from './lives.ts';
import { nullKernel, silent } from './null-kernel.ts';
import { distribution, type Result, result } from './results.ts';

const CONNECTIONS = 20_000;
const ROUNDS = 15;
const STEPS = ['created', 'established', 'subEstablished', 'subClosed', 'closed'] as const;

export async function run(progress: (text: string) => void): Promise<Result> {
  const { view, bounds } = encodeLives(1, CONNECTIONS, STEPS);
  const rows = [];
  for (const controller of controllers) {
    progress(controller.name);
    const params = Object.fromEntries(
      Object.entries(controller.params).map(([name, { fallback }]) => [name, fallback]),
    );
    const choice = { app: '', controller, params, why: '' };
    const ports = { kernel: nullKernel, clock: machineClock, random: Math.random, log: silent };
    const agent = new Agent(ports, { choose: () => choice, openDeadline: 5000 });
    const rates: number[] = [];
    for (let round = 0; round < ROUNDS + 3; round++) {
      const began = performance.now();
      for (let i = 1; i < bounds.length; i++) agent.handle(decodeEvent(view, bounds[i - 1]!, bounds[i]!)!);
      const seconds = (performance.now() - began) / 1000;
      if (agent.connections.size > 0) throw new Error('a connection was left over');
      if (round >= 3) rates.push((bounds.length - 1) / seconds); // the first ones warm up
      await new Promise(setImmediate);
    }
    rows.push(
      distribution({ variant: 'smappd', case: controller.name, metric: 'rate', unit: 'events/s' }, rates),
    );
  }
  return result('events', 'at least 300 thousand events a second through decode, state and controller', rows);
}
