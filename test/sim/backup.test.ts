/** The backup controller: silent second path, failover, probing, return, hysteresis. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import backup from '../../controllers/backup.ts';
import { Simulation } from './simulation.ts';

const SERVER = { ip: '10.1.0.1', port: 80 };
const lines = (text: string): string[] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim());

function phone(params = {}): Simulation {
  const sim = new Simulation(backup, ['10.0.0.1%wlan0', '100.64.0.1%wwan0 backup'], {
    rtoLimit: 1000,
    probeEvery: 500,
    probes: 4,
    ...params,
  });
  sim.kernel.connect(7, { ip: '10.0.0.1', port: 5000 }, SERVER);
  return sim;
}

test('backup: does nothing while the RTO stays below the limit', () => {
  const sim = phone();
  sim.kernel.stall(7, '10.0.0.1', 400);
  sim.kernel.stall(7, '10.0.0.1', 800);
  sim.clock.advance(60_000);
  assert.deepEqual(sim.trace.slice(1), ['0 rto 10.0.0.1 400', '0 rto 10.0.0.1 800']);
  assert.equal(sim.clock.waiting, 0);
});

test('backup: fails over past the limit, probes, and returns after enough good probes', () => {
  const sim = phone({ probes: 2 });
  sim.kernel.stall(7, '10.0.0.1', 1600);
  sim.clock.advance(3000);
  assert.deepEqual(
    sim.trace,
    lines(`
    0 established 10.0.0.1:5000 -> 10.1.0.1:80
    0 rto 10.0.0.1 1600
    0 open 100.64.0.1%wwan0 -> 10.1.0.1:80  # RTO 1600 ms on wlan0
    0 close 10.0.0.1:5000-10.1.0.1:80  # RTO 1600 ms on wlan0
    0 down 10.0.0.1 errno 103
    20 up 100.64.0.1
    500 open 10.0.0.1%wlan0 -> 10.1.0.1:80 backup  # probe of wlan0, 0 of 2 good
    520 up 10.0.0.1 backup
    520 close 10.0.0.1:40001-10.1.0.1:80  # probe done, 1 of 2 good
    520 down 10.0.0.1 errno 103
    1000 open 10.0.0.1%wlan0 -> 10.1.0.1:80 backup  # probe of wlan0, 1 of 2 good
    1020 up 10.0.0.1 backup
    1020 close 10.0.0.1:40002-10.1.0.1:80  # probe done, 2 of 2 good
    1020 open 10.0.0.1%wlan0 -> 10.1.0.1:80  # wlan0 has recovered
    1020 down 10.0.0.1 errno 103
    1040 up 10.0.0.1
    1040 close 100.64.0.1:40000-10.1.0.1:80  # wlan0 has recovered
    1040 down 100.64.0.1 errno 103`),
  );
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ local }) => local.ip),
    ['10.0.0.1'],
  );
});

test('backup: a probe that needed a retransmission starts the count again', () => {
  const sim = phone({ probes: 2 });
  sim.kernel.stall(7, '10.0.0.1', 1600);
  sim.kernel.readings.set('10.0.0.1', { totalRetransmits: 1 });
  sim.clock.advance(5000);
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ local }) => local.ip),
    ['100.64.0.1'],
  );
  sim.kernel.readings.clear();
  sim.clock.advance(1100);
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ local }) => local.ip),
    ['10.0.0.1'],
  );
});

test('backup: a return that fails soon asks for twice the probes', () => {
  const sim = phone({ probes: 2 });
  sim.kernel.stall(7, '10.0.0.1', 1600);
  sim.clock.advance(1500);
  sim.kernel.stall(7, '10.0.0.1', 1600);
  sim.trace.length = 0;
  sim.clock.advance(10_000);
  const probes = sim.trace.filter((line) => line.includes('# probe of'));
  assert.equal(probes.length, 4);
  assert.match(probes.at(-1) ?? '', /3 of 4 good/);
});

test('backup: a lost link fails over at once and its return at another address is taken up', () => {
  const sim = phone({ probes: 1 });
  sim.linkDown('wlan0');
  sim.clock.advance(100);
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ local }) => local.ip),
    ['100.64.0.1'],
  );
  sim.agent.handle({ kind: 'local-up', local: { ...sim.local('wlan0'), ip: '10.0.0.99', id: 9 } });
  sim.clock.advance(1000);
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ local }) => local.ip),
    ['10.0.0.99'],
  );
});

test('backup: stays, and says why, when there is no other address', () => {
  const sim = new Simulation(backup, ['10.0.0.1%wlan0']);
  sim.kernel.connect(7, { ip: '10.0.0.1', port: 5000 }, SERVER);
  sim.kernel.stall(7, '10.0.0.1', 2000);
  assert.equal(sim.kernel.subflows(7).length, 1);
  assert.equal(sim.trace.at(-1), '0 # no other interface: RTO 2000 ms on wlan0');
});

test('backup: keeps trying both addresses while neither answers', () => {
  const sim = phone();
  sim.kernel.paths.set('10.0.0.1', 'silent').set('100.64.0.1', 'silent');
  sim.kernel.stall(7, '10.0.0.1', 1600);
  sim.clock.advance(30_000);
  assert.equal(sim.kernel.subflows(7).length, 0);
  sim.kernel.paths.set('100.64.0.1', 'good');
  sim.clock.advance(15_000);
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ local }) => local.ip),
    ['100.64.0.1'],
  );
});

test('backup: a server leaves everything to its client', () => {
  const sim = new Simulation(backup, ['10.1.0.1%eth0', '10.1.1.1%eth1']);
  sim.kernel.connect(7, SERVER, { ip: '10.0.0.1', port: 5000 }, 'server');
  sim.kernel.stall(7, '10.1.0.1', 5000);
  assert.equal(sim.kernel.subflows(7).length, 1);
});

test('backup: a slow substitute is not left for a primary path that is known to be bad', () => {
  const sim = phone();
  sim.kernel.stall(7, '10.0.0.1', 1600);
  sim.kernel.paths.set('10.0.0.1', 'silent');
  sim.clock.advance(100);
  sim.kernel.stall(7, '100.64.0.1', 1600);
  assert.equal(sim.trace.at(-1), '100 # no other interface: RTO 1600 ms on wwan0');
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ local }) => local.ip),
    ['100.64.0.1'],
  );
});

test('backup: keeps the stalled subflow when the other one is refused at once', () => {
  const sim = phone();
  sim.kernel.refuse = (command) =>
    command.kind === 'open' ? { errno: 101, message: 'network unreachable' } : undefined;
  sim.kernel.stall(7, '10.0.0.1', 1600);
  sim.clock.advance(10_000);
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ local }) => local.port),
    [5000],
  );
});
