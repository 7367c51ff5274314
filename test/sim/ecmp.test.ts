/** The ecmp controller on four equal paths that a subflow's port chooses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../agent/model.ts';
import ecmp from '../../controllers/ecmp.ts';
import { Simulation } from './simulation.ts';

const PATHS = 4;
const RATE = 1_000_000; // bytes a second and path
const CLIENT = '10.0.0.1';

/** Subflows share their path's rate evenly and fill its queue; a path that is not in use answers at once. */
class Network {
  readonly sim: Simulation;
  readonly pathOf: (port: number) => number;
  readonly #acked = new Map<number, number>();
  #drawn = 0;

  constructor(pathOf: (port: number) => number, params = {}) {
    this.sim = new Simulation(ecmp, [`${CLIENT}%eth0`], params);
    this.sim.random = () => (this.#drawn = (this.#drawn + 0.618) % 1);
    this.pathOf = pathOf;
    const took = (port: number) =>
      40 + (this.active.some((other) => pathOf(other) === pathOf(port)) ? 100 : 0);
    this.sim.kernel.answers = took;
    this.sim.kernel.reading = ({ port }: Address) => ({
      bytesAcked: this.#acked.get(port) ?? 0,
      srtt: took(port),
    });
    this.sim.kernel.connect(7, { ip: CLIENT, port: 5000 }, { ip: '10.1.0.1', port: 80 });
  }

  get active(): number[] {
    const [connection] = this.sim.agent.connections.values();
    return (connection?.subflows ?? []).filter(({ backup }) => !backup).map(({ local }) => local.port);
  }

  get used(): number {
    return new Set(this.active.map(this.pathOf)).size;
  }

  run(seconds: number): void {
    for (let step = 0; step < seconds * 10; step++) {
      const active = this.active;
      for (const port of active) {
        const sharing = active.filter((other) => this.pathOf(other) === this.pathOf(port)).length;
        this.#acked.set(port, (this.#acked.get(port) ?? 0) + RATE / 10 / sharing);
      }
      this.sim.clock.advance(100);
    }
  }

  count(what: string): number {
    return this.sim.trace.filter((line) => line.includes(` ${what} `)).length;
  }
}

/** The kernel here gives ports from 40,000 on. */
const onOnePath = (port: number): number => (port >= 40_000 && port < 40_100 ? 0 : port % PATHS);

test('ecmp: finds ports that lead over unused paths, gives no used path up, and closes nothing', () => {
  const network = new Network(onOnePath);
  network.run(0.4);
  assert.equal(network.used, 1);
  let most = 0;
  for (let step = 0; step < 20; step++) {
    network.run(0.5);
    assert.ok(network.used >= most, `step ${step}: ${network.used} paths used, ${most} before`);
    most = network.used;
  }
  assert.equal(most, PATHS);
  assert.equal(network.active.length, 5);
  assert.equal(network.count('close'), 0);
});

test('ecmp: the search is bounded, opens nothing where nothing is found, and is made again after a pause', () => {
  const network = new Network(() => 0);
  network.run(30);
  assert.equal(network.count('ping'), 6);
  assert.equal(network.count('open'), 4);
  network.run(60);
  assert.equal(network.count('ping'), 12);
});

test('ecmp: an answer that was quick once, because a queue had gone, is asked for again', () => {
  const network = new Network(() => 0);
  let asked = 0;
  network.sim.kernel.answers = () => (asked++ % 17 === 0 ? 40 : 140);
  network.run(30);
  assert.ok(network.count('ping') > 6);
  assert.equal(network.count('open'), 4);
});

test('ecmp: a peer that takes no more subflows is not asked again and again', () => {
  const network = new Network(onOnePath);
  network.run(0.4);
  network.sim.kernel.paths.set(CLIENT, 'refusing');
  network.run(30);
  assert.equal(network.count('open'), 4 + 1);
});

test('ecmp: where nothing may be sent beside connections, the subflows that are there stay', () => {
  const network = new Network(onOnePath);
  network.sim.kernel.refuse = ({ kind }) => (kind === 'ping' ? { errno: 1, message: 'EPERM' } : undefined);
  network.run(30);
  assert.equal(network.count('ping'), 1);
  assert.equal(network.active.length, 5);
});

test('ecmp: an idle connection is left alone', () => {
  const network = new Network((port) => port % PATHS);
  network.sim.clock.advance(60_000);
  assert.equal(network.active.length, 5);
  assert.equal(network.count('open'), 4);
  assert.equal(network.count('ping'), 0);
});
