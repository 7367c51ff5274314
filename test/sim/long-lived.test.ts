/** The long-lived controller: silence while idle, repair at the first data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Stats } from '../../agent/model.ts';
import longLived from '../../controllers/long-lived.ts';
import { Simulation } from './simulation.ts';

/** Data sent `ago` milliseconds ago after ten silent minutes, not acknowledged yet. */
const asked = (ago: number): Partial<Stats> => ({
  unacked: 1,
  lastDataSent: ago,
  lastAckReceived: 600_000,
  srtt: 40,
});

function connection(): Simulation {
  const sim = new Simulation(longLived, ['10.0.0.1%wlan0', '100.64.0.1%wwan0 backup']);
  sim.kernel.connect(7, { ip: '10.0.0.1', port: 5000 }, { ip: '10.1.0.1', port: 80 });
  return sim;
}

const paths = (sim: Simulation): string[] =>
  sim.kernel.subflows(7).map(({ local }) => `${local.ip}:${local.port}`);

test('long-lived: does nothing for as long as the application is silent', () => {
  const sim = connection();
  for (let minute = 0; minute < 60; minute++) {
    sim.clock.advance(60_000);
    sim.kernel.readings.set('10.0.0.1', { lastDataSent: minute * 60_000, lastAckReceived: minute * 60_000 });
    sim.sample();
  }
  assert.equal(sim.trace.length, 1);
  assert.equal(sim.clock.waiting, 0);
});

test('long-lived: data that is not acknowledged after the silence moves to a new subflow on the same path', () => {
  const sim = connection();
  sim.kernel.readings.set('10.0.0.1', asked(50));
  sim.sample();
  assert.equal(sim.trace.length, 1, 'the answer may still be on its way');
  sim.kernel.readings.set('10.0.0.1', asked(80));
  sim.sample();
  sim.sample();
  sim.clock.advance(1000);
  assert.deepEqual(sim.trace.slice(1), [
    '0 open 10.0.0.1%wlan0 -> 10.1.0.1:80  # no acknowledgement after 600000 ms of silence',
    '20 up 10.0.0.1',
    '20 close 10.0.0.1:5000-10.1.0.1:80  # 10.0.0.1:40000-10.1.0.1:80 replaces it',
    '20 down 10.0.0.1 errno 103',
  ]);
});

/** The first data after `silence`; nothing has been heard since. */
function ask(sim: Simulation, silence: number): void {
  sim.kernel.readings.set('10.0.0.1', { unacked: 1, lastAckReceived: silence, srtt: 40 });
  sim.kernel.resume(7, silence);
}

/** Time goes on, and the kernel's clocks with it. */
function pass(sim: Simulation, time: number, heard: number | undefined): void {
  sim.kernel.readings.set('10.0.0.1', {
    unacked: heard ? 0 : 1,
    lastAckReceived: heard ?? 600_000,
    srtt: 40,
  });
  sim.clock.advance(time);
}

test('long-lived: opens beside the first data after a silence, and closes the old one if it does not answer', () => {
  const sim = connection();
  ask(sim, 600_000);
  pass(sim, 1000, undefined);
  assert.deepEqual(sim.trace.slice(2), [
    '0 open 10.0.0.1%wlan0 -> 10.1.0.1:80  # first data after 600000 ms of silence',
    '20 up 10.0.0.1',
    '60 close 10.0.0.1:5000-10.1.0.1:80  # 10.0.0.1:40000-10.1.0.1:80 replaces it',
    '60 down 10.0.0.1 errno 103',
  ]);
});

test('long-lived: closes the new one if the old one answers, and trusts the path for as long a silence', () => {
  const sim = connection();
  ask(sim, 600_000);
  pass(sim, 30, undefined);
  pass(sim, 30, 5);
  assert.deepEqual(paths(sim), ['10.0.0.1:5000']);
  assert.equal(sim.trace.at(-2), '60 close 10.0.0.1:40000-10.1.0.1:80  # 10.0.0.1:5000-10.1.0.1:80 answers');
  const opened = (): number => sim.trace.filter((line) => line.includes(' open ')).length;
  ask(sim, 500_000);
  ask(sim, 20_000);
  assert.equal(opened(), 1);
  ask(sim, 700_000);
  assert.equal(opened(), 2);
});

test('long-lived: a subflow that has gone when its first data is told needs no event of its end', () => {
  const sim = connection();
  sim.kernel.lose(7, '10.0.0.1', 104, () => sim.kernel.resume(7, 600_000));
  sim.clock.advance(1000);
  assert.match(sim.trace[2]!, /^0 open 10.0.0.1%wlan0 .* first data after 600000 ms of silence$/);
  assert.deepEqual(paths(sim), ['10.0.0.1:40000']);
});

test('long-lived: what answered meanwhile needs neither another address nor another attempt', () => {
  const sim = connection();
  sim.kernel.paths.set('10.0.0.1', 'silent');
  ask(sim, 600_000);
  pass(sim, 20_000, 5);
  assert.deepEqual(paths(sim), ['10.0.0.1:5000']);
  assert.equal(sim.trace.filter((line) => line.includes(' open ')).length, 1);
});

test('long-lived: an RTO is a sign too, if it follows a silence or goes on', () => {
  const sim = connection();
  sim.kernel.readings.set('10.0.0.1', { unacked: 1, backoff: 1, lastAckReceived: 300 });
  sim.kernel.stall(7, '10.0.0.1', 440);
  assert.deepEqual(paths(sim), ['10.0.0.1:5000']);
  sim.kernel.readings.set('10.0.0.1', { unacked: 1, backoff: 2, lastAckReceived: 700 });
  sim.kernel.stall(7, '10.0.0.1', 880);
  sim.clock.advance(20);
  assert.deepEqual(paths(sim), ['10.0.0.1:40000']);
});

test('long-lived: a reset is repaired at once', () => {
  const sim = connection();
  sim.kernel.lose(7, '10.0.0.1', 104);
  sim.clock.advance(20);
  assert.deepEqual(paths(sim), ['10.0.0.1:40000']);
});

test('long-lived: when the same path does not answer, another one is tried beside it', () => {
  const sim = connection();
  sim.kernel.paths.set('10.0.0.1', 'silent');
  sim.kernel.lose(7, '10.0.0.1', 104);
  sim.clock.advance(499);
  assert.deepEqual(paths(sim), []);
  sim.clock.advance(21);
  assert.deepEqual(paths(sim), ['100.64.0.1:40000']);
});

test('long-lived: goes on trying while there is no subflow', () => {
  const sim = connection();
  sim.kernel.paths.set('10.0.0.1', 'refusing').set('100.64.0.1', 'refusing');
  sim.kernel.lose(7, '10.0.0.1', 104);
  sim.clock.advance(10_000);
  sim.kernel.paths.clear();
  sim.clock.advance(1100);
  assert.equal(sim.kernel.subflows(7).length, 1);
});

test('long-lived: a server closes what has long been silent when its client opens another subflow', () => {
  const server = { ip: '10.1.0.1', port: 80 };
  const sim = new Simulation(longLived, ['10.1.0.1%eth0']);
  sim.kernel.connect(7, server, { ip: '10.0.0.1', port: 5000 }, 'server');
  sim.kernel.readings.set('10.1.0.1', { lastAckReceived: 500 });
  sim.kernel.join(7, server, { ip: '10.0.0.1', port: 5001 }, 1);
  assert.equal(sim.kernel.subflows(7).length, 2, 'both are in use');
  sim.kernel.readings.set('10.1.0.1', { lastAckReceived: 600_000 });
  sim.kernel.join(7, server, { ip: '10.0.0.1', port: 5002 }, 1);
  sim.clock.advance(10);
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ remote }) => remote.port),
    [5002],
  );
});
