/** Heap and resident memory of the agent at 100 thousand connections of two subflows, by controller; each in a process of its own. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { machineClock } from '../../agent/clock.ts';
import { decodeEvent } from '../../agent/netlink/mptcp-pm.ts';
import { Agent } from '../../agent/runtime.ts';
import { controllers } from '../../controllers/all.ts';
import { encodeLives } from './lives.ts';
import { nullKernel, silent } from './null-kernel.ts';
import { distribution, type Result, result } from './results.ts';

const CONNECTIONS = 100_000;
const STEPS = ['created', 'established', 'subEstablished'] as const;
const ROUNDS = 3;

export async function run(progress: (text: string) => void): Promise<Result> {
  const rows = [];
  for (const { name } of controllers) {
    progress(name);
    const readings = Array.from({ length: ROUNDS }, () => {
      const args = ['--expose-gc', fileURLToPath(import.meta.url), name];
      return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as {
        heap: number;
        rss: number;
      };
    });
    for (const metric of ['heap', 'rss'] as const) {
      const unit = 'bytes/connection';
      rows.push(
        distribution(
          { variant: 'smappd', case: name, metric, unit },
          readings.map((one) => one[metric]),
        ),
      );
    }
  }
  return result('memory', 'at most 1536 bytes of heap a connection of two subflows', rows);
}

/** What 100 thousand connections add, in bytes a connection. */
function measure(name: string): void {
  const controller = controllers.find((one) => one.name === name)!;
  const params = Object.fromEntries(
    Object.entries(controller.params).map(([key, { fallback }]) => [key, fallback]),
  );
  const choice = { app: '', controller, params, why: '' };
  const ports = { kernel: nullKernel, clock: machineClock, random: Math.random, log: silent };
  const agent = new Agent(ports, { choose: () => choice, openDeadline: 5000 });
  const collect = (globalThis as { gc?: () => void }).gc!;
  const reading = (): { heapUsed: number; rss: number } => {
    collect();
    collect();
    return process.memoryUsage();
  };
  const before = reading();
  for (let first = 1; first < CONNECTIONS; first += 1000) {
    const { view, bounds } = encodeLives(first, first + 999, STEPS);
    for (let i = 1; i < bounds.length; i++) agent.handle(decodeEvent(view, bounds[i - 1]!, bounds[i]!)!);
  }
  const after = reading();
  const subflows = [...agent.connections.values()].reduce(
    (sum, connection) => sum + connection.subflows.length,
    0,
  );
  if (agent.connections.size !== CONNECTIONS || subflows !== 2 * CONNECTIONS)
    throw new Error('connections are missing');
  const per = (to: number, from: number): number => (to - from) / CONNECTIONS;
  console.log(
    JSON.stringify({ heap: per(after.heapUsed, before.heapUsed), rss: per(after.rss, before.rss) }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) measure(process.argv[2]!);
