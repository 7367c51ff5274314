/** fullmesh, ndiffports, single and server-limit on the simulated kernel. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fullmesh from '../../controllers/fullmesh.ts';
import ndiffports from '../../controllers/ndiffports.ts';
import serverLimit from '../../controllers/server-limit.ts';
import single from '../../controllers/single.ts';
import { Simulation } from './simulation.ts';

const CLIENT = { ip: '10.0.0.1', port: 5000 };
const SERVER = { ip: '10.1.0.1', port: 80 };
const froms = (sim: Simulation): string[] =>
  sim.kernel
    .subflows(7)
    .map(({ local }) => local.ip)
    .sort();
const opens = (sim: Simulation): string[] => sim.trace.filter((line) => line.includes(' open '));

function client(controller: ConstructorParameters<typeof Simulation>[0], params = {}): Simulation {
  const sim = new Simulation(controller, ['10.0.0.1%wlan0', '100.64.0.1%wwan0', '2001:db8::1%eth0'], params);
  sim.kernel.connect(7, CLIENT, SERVER);
  sim.clock.advance(100);
  return sim;
}

test('fullmesh: opens each pair of one family, and more when the peer announces an address', () => {
  const sim = client(fullmesh);
  assert.deepEqual(froms(sim), ['10.0.0.1', '100.64.0.1']);
  sim.agent.handle({ kind: 'remote-up', token: 7, remote: { ip: '2001:db8::80', port: 0, id: 3 } });
  sim.clock.advance(100);
  assert.deepEqual(froms(sim), ['10.0.0.1', '100.64.0.1', '2001:db8::1']);
  assert.equal(
    sim.kernel.subflows(7).at(-1)?.remote.port,
    80,
    "an announcement without a port means the connection's",
  );
  sim.agent.handle({ kind: 'remote-down', token: 7, id: 3 });
  sim.clock.advance(100);
  assert.deepEqual(froms(sim), ['10.0.0.1', '100.64.0.1']);
});

test('fullmesh: never more subflows than the limit', () => {
  const sim = client(fullmesh, { subflows: 1 });
  assert.deepEqual(froms(sim), ['10.0.0.1']);
});

test('fullmesh: waits 1 s after a reset, 5 s after a timeout, and twice as long each time', () => {
  const sim = client(fullmesh);
  sim.trace.length = 0;
  sim.kernel.paths.set('100.64.0.1', 'silent');
  sim.kernel.lose(7, '100.64.0.1', 104);
  sim.clock.advance(40_000);
  assert.deepEqual(opens(sim), [
    '1100 open 100.64.0.1%wwan0 -> 10.1.0.1:80  # errno 104 was 1000 ms ago',
    '16100 open 100.64.0.1%wwan0 -> 10.1.0.1:80  # errno 110 was 10000 ms ago', // 5 s deadline, then 5 s doubled
  ]);
});

test('fullmesh: a link that returns is used at once, without the wait', () => {
  const sim = client(fullmesh);
  sim.linkDown('wwan0');
  sim.clock.advance(60_000);
  assert.deepEqual(froms(sim), ['10.0.0.1']);
  sim.trace.length = 0;
  sim.linkUp('wwan0');
  assert.deepEqual(opens(sim), ['60100 open 100.64.0.1%wwan0 -> 10.1.0.1:80  # wwan0 is usable']);
});

test('fullmesh: a server opens nothing', () => {
  const sim = new Simulation(fullmesh, ['10.1.0.1%eth0', '10.1.1.1%eth1']);
  sim.kernel.connect(7, SERVER, CLIENT, 'server');
  sim.clock.advance(1000);
  assert.equal(sim.kernel.subflows(7).length, 1);
});

test('ndiffports: keeps N subflows from one address, replacing those that fail', () => {
  const sim = client(ndiffports, { subflows: 4 });
  assert.deepEqual(froms(sim), ['10.0.0.1', '10.0.0.1', '10.0.0.1', '10.0.0.1']);
  sim.kernel.lose(7, '10.0.0.1', 110);
  sim.clock.advance(1100);
  assert.equal(froms(sim).length, 4);
});

test('ndiffports: goes on trying after refusals, one wait apart', () => {
  const sim = new Simulation(ndiffports, ['10.0.0.1%wlan0']);
  sim.kernel.paths.set('10.0.0.1', 'refusing');
  sim.kernel.connect(7, CLIENT, SERVER);
  sim.clock.advance(5000);
  assert.equal(opens(sim).length, 5);
});

test('single: moves to the next address when the only subflow is lost', () => {
  const sim = client(single);
  assert.deepEqual(froms(sim), ['10.0.0.1']);
  sim.linkDown('wlan0');
  sim.clock.advance(100);
  assert.deepEqual(froms(sim), ['100.64.0.1']);
});

test('single: closes what the peer opens besides', () => {
  const sim = client(single);
  sim.kernel.join(7, { ip: '10.0.0.1', port: 5001 }, { ip: '10.1.1.1', port: 9000 }, 2);
  sim.clock.advance(100);
  assert.equal(sim.kernel.subflows(7).length, 1);
});

test('server-limit: closes the newest subflow over the limit', () => {
  const sim = new Simulation(serverLimit, ['10.1.0.1%eth0'], { subflows: 2 });
  sim.kernel.connect(7, SERVER, CLIENT, 'server');
  for (const port of [1, 2]) sim.kernel.join(7, SERVER, { ip: `10.0.0.${port + 1}`, port }, port);
  sim.clock.advance(100);
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ remote }) => remote.port),
    [5000, 1],
  );
});

test('server-limit: accepts one subflow per client address when told so', () => {
  const sim = new Simulation(serverLimit, ['10.1.0.1%eth0'], { subflows: 9, differentAddresses: true });
  sim.kernel.connect(7, SERVER, CLIENT, 'server');
  sim.kernel.join(7, SERVER, { ip: '10.0.0.1', port: 6000 }, 1);
  sim.kernel.join(7, SERVER, { ip: '10.0.0.2', port: 6001 }, 2);
  sim.clock.advance(100);
  assert.deepEqual(
    sim.kernel.subflows(7).map(({ remote }) => remote.port),
    [5000, 6001],
  );
});
