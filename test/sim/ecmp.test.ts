/** The ecmp controller on four equal paths that a subflow's port chooses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../agent/model.ts';
import ecmp from '../../controllers/ecmp.ts';
import { Simulation } from './simulation.ts';

const PATHS = 4;
const RATE = 1_000_000; // bytes a second and path
const CLIENT = '10.0.0.1';

/** Subflows share their path's rate evenly and fill its queue; those that are not in use carry nothing. */
class Network {
  readonly sim: Simulation;
  readonly pathOf: (port: number) => number;
  readonly #acked = new Map<number, number>();

  constructor(pathOf: (port: number) => number, params = {}) {
    this.sim = new Simulation(ecmp, [`${CLIENT}%eth0`], params);
    this.pathOf = pathOf;
    this.sim.kernel.reading = ({ port }: Address) => ({
      bytesAcked: this.#acked.get(port) ?? 0,
      srtt:
        this.active.some((other) => other !== port && pathOf(other) === pathOf(port)) || this.#acked.has(port)
          ? 150
          : 40,
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

test('ecmp: finds the unused paths by their quick handshakes, and gives no used path up', () => {
  const network = new Network((port) => (port < 40_006 ? port % 2 : port % PATHS));
  network.run(0.9);
  assert.equal(network.used, 2);
  let most = 2;
  for (let second = 0; second < 10; second++) {
    network.run(1);
    assert.ok(network.used >= most, `second ${second}: ${network.used} paths used, ${most} before`);
    most = network.used;
  }
  assert.equal(most, PATHS);
  assert.equal(network.active.length, 5);
});

test('ecmp: the search is bounded, closes spares once, and is made again after a pause', () => {
  const network = new Network((port) => port % 2);
  network.run(30);
  assert.equal(network.count('open'), 4 + 4 + 4);
  assert.equal(network.count('close'), 4);
  network.run(60);
  assert.equal(network.count('open'), 4 + 4 + 4 + 4);
});

test('ecmp: a peer that takes many subflows is searched without a close', () => {
  const network = new Network((port) => port % 2, { joins: 32 });
  network.run(30);
  assert.equal(network.count('open'), 4 + 16);
  assert.equal(network.count('close'), 0);
});

test('ecmp: a peer that takes no more subflows is not asked again and again', () => {
  const network = new Network((port) => port % 2, { joins: 32 });
  network.run(0.9);
  network.sim.kernel.paths.set(CLIENT, 'refusing');
  network.run(30);
  assert.equal(network.count('open'), 4 + 4);
});

test('ecmp: an idle connection is left alone', () => {
  const network = new Network((port) => port % PATHS);
  network.sim.clock.advance(60_000);
  assert.equal(network.active.length, 5);
  assert.equal(network.sim.trace.filter((line) => line.includes(' open ')).length, 4);
});
