/** The sampler: whose subflows it reads, and stalls told from a growing backoff. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sampler } from '../../agent/sampler.ts';
import { defineController, type Handlers } from '../../controllers/controller.ts';
import { Simulation } from './simulation.ts';

const SERVER = { ip: '10.1.0.1', port: 80 };

function sampled(handlers: Handlers, tellStalls: boolean): Simulation {
  const controller = defineController({ name: 'test', summary: '', params: {}, attach: () => handlers });
  const sim = new Simulation(controller, ['10.0.0.1%wlan0']);
  sim.kernel.connect(7, { ip: '10.0.0.1', port: 5000 }, SERVER);
  new Sampler(sim.agent, sim.clock, 100, tellStalls);
  return sim;
}

test('reads what a controller samples, once a round', () => {
  let readings = 0;
  const sim = sampled({ sampled: () => readings++ }, false);
  sim.clock.advance(1000);
  assert.equal(readings, 10);
  assert.equal(sim.agent.connections.get(7)?.subflows[0]?.stats?.srtt, 20);
});

test('a backoff that grows is a stall, once for each growth, and only when told to tell', () => {
  const seen: number[] = [];
  const sim = sampled({ stalled: (_, rto) => seen.push(rto) }, true);
  sim.clock.advance(200);
  sim.kernel.readings.set('10.0.0.1', { backoff: 1, rto: 400 });
  sim.clock.advance(300);
  sim.kernel.readings.set('10.0.0.1', { backoff: 2, rto: 800 });
  sim.clock.advance(300);
  sim.kernel.readings.clear();
  sim.clock.advance(300);
  assert.deepEqual(seen, [400, 800]);
  const quiet = sampled({ stalled: (_, rto) => seen.push(rto) }, false);
  quiet.kernel.readings.set('10.0.0.1', { backoff: 3, rto: 1600 });
  quiet.clock.advance(1000);
  assert.equal(seen.length, 2);
});

test('more subflows than one round reads are all read in turn', () => {
  const seen = new Set<number>();
  const controller = defineController({
    name: 'test',
    summary: '',
    params: {},
    attach: (conn) => ({ sampled: () => seen.add(conn.token) }),
  });
  const sim = new Simulation(controller, ['10.0.0.1%wlan0']);
  for (let token = 1; token <= 1200; token++)
    sim.kernel.connect(token, { ip: '10.0.0.1', port: token }, SERVER);
  new Sampler(sim.agent, sim.clock, 100, false);
  sim.clock.advance(300);
  assert.equal(seen.size, 1200);
});
