/** A recording of a machine whose timers are late and whose readings change all the time replays to the letter. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Choose } from '../../agent/choice.ts';
import type { Clock } from '../../agent/clock.ts';
import { ManualClock } from '../../agent/manual-clock.ts';
import { type Line, record } from '../../agent/record.ts';
import { replay } from '../../agent/replay.ts';
import { Agent } from '../../agent/runtime.ts';
import { defineController } from '../../controllers/controller.ts';
import { localAddress, SimulatedKernel } from './kernel.ts';

/** Notes what it sees, so that any difference in what it sees is a different decision. */
const witness = defineController({
  name: 'witness',
  summary: 'test',
  params: {},
  attach(conn) {
    const see = (what: string): void => {
      const connection = conn.readConnection();
      const [subflow] = conn.subflows;
      const stats = subflow && conn.read(subflow);
      conn.note(
        `${what} at ${conn.now()}: ${connection?.sndUna} ${connection?.at} ${stats?.unacked} ${conn.random()}`,
      );
    };
    return {
      established: () => void conn.every(25, () => see('check')),
      stalled: () => void conn.after(10, () => see('soon after a stall')),
      sampled: (_, { backoff }) => see(`backoff ${backoff}`),
    };
  },
});

/** Runs timers up to 3 ms late; between two readings of the time, some of it passes. */
class BusyClock implements Clock {
  readonly manual = new ManualClock();
  #state = 1;
  #passed = 0;

  now(): number {
    this.#passed += 1e-6;
    return this.manual.now() + this.#passed;
  }

  after(delay: number, run: () => void): () => void {
    return this.manual.after(delay + this.random() * 3, run);
  }

  random(): number {
    this.#state = (this.#state * 16807) % 2147483647;
    return this.#state / 2147483647;
  }
}

test('late timers, readings and a new policy are played as they were', () => {
  const clock = new BusyClock();
  const kernel = new SimulatedKernel(
    { now: () => agent.now(), after: (delay, run) => clock.manual.after(delay, run) },
    (event) => agent.handle(event),
  );
  const agent: Agent = new Agent(
    { kernel, clock, random: () => clock.random(), log: { debug() {}, info() {}, warn() {}, error() {} } },
    { choose: () => ({ app: '', controller: witness, params: {}, why: 'test' }), openDeadline: 5000 },
  );
  agent.handle({ kind: 'local-up', local: localAddress('10.0.0.1%wlan0', 1) });
  const lines: Line[] = [];
  record(agent, { version: '0', kernel: '6', epoch: 0 }, (line) => lines.push(structuredClone(line)));
  for (const token of [7, 8])
    kernel.connect(token, { ip: '10.0.0.1', port: 5000 + token }, { ip: '10.1.0.1', port: 80 });
  for (let step = 0; step < 200; step++) {
    clock.manual.advance(7);
    if (step % 3 === 0) kernel.connectionReading = { sndUna: step };
    kernel.readings.set('10.0.0.1', { unacked: step % 5, backoff: step % 2 });
    if (step % 20 === 0) kernel.stall(7, '10.0.0.1', 400);
    if (step === 80) {
      // One of the two starts anew, and a third comes.
      const choose: Choose = ({ token }) => ({
        app: '',
        controller: witness,
        params: token === 7 ? { level: 2 } : {},
        why: 'new policy',
      });
      agent.configure({ choose, openDeadline: 4000 });
      kernel.connect(9, { ip: '10.0.0.1', port: 5009 }, { ip: '10.1.0.1', port: 80 });
    }
    if (step % 50 === 25) {
      agent.handle({ kind: 'lost' });
      clock.manual.advance(3);
      agent.hold();
      kernel.stall(8, '10.0.0.1', 400);
      clock.manual.advance(3);
      agent.resync(kernel.snapshot());
    }
    for (const connection of agent.connections.values())
      for (const subflow of connection.subflows)
        agent.sampled(connection, subflow, agent.read(subflow)!, true);
  }

  const played = replay(JSON.parse(JSON.stringify(lines)), { controllers: [witness] });
  assert.equal(lines.filter(({ kind }) => kind === 'policy').length, 1);
  assert.ok(played.length > 500);
  assert.deepEqual(
    played.map(({ at, why, verdict }) => ({ at, why, verdict })),
    lines.flatMap((line) =>
      line.kind === 'decision' ? [{ at: line.at, why: line.why, verdict: 'same' }] : [],
    ),
  );
});
