/** The streaming controller: when a block counts as late, what it then closes, and the way back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import streaming from '../../controllers/streaming.ts';
import { Simulation } from './simulation.ts';

const BLOCK = 65_536;

class Player {
  readonly sim: Simulation;
  #sent = 0;

  constructor(params = {}) {
    this.sim = new Simulation(streaming, ['10.0.0.1%wlan0', '100.64.0.1%wwan0 backup'], params);
    this.sim.kernel.connectionReading = { writeSeq: 0, sndUna: 0 };
    this.sim.kernel.connect(7, { ip: '10.0.0.1', port: 5000 }, { ip: '10.1.0.1', port: 80 });
  }

  /** Sends a block; each of `acked` is what of it has been acknowledged after another 50 ms. */
  block(...acked: number[]): void {
    const from = this.#sent;
    this.#sent += BLOCK;
    this.sim.kernel.connectionReading = { writeSeq: this.#sent, sndUna: from };
    for (const bytes of acked) {
      this.sim.clock.advance(50);
      this.sim.kernel.connectionReading = { writeSeq: this.#sent, sndUna: from + bytes };
    }
    this.sim.clock.advance(25);
  }

  get paths(): string[] {
    return this.sim.kernel.subflows(7).map(({ local, backup }) => `${local.ip}${backup ? ' backup' : ''}`);
  }

  get decisions(): string[] {
    return this.sim.trace.filter((line) => / (open|close|backup) /.test(line));
  }
}

test('streaming: blocks in time leave the second path alone', () => {
  const player = new Player();
  for (let i = 0; i < 30; i++) {
    player.block(0, 20_000, 45_000, BLOCK);
    player.sim.clock.advance(775);
  }
  assert.deepEqual(player.decisions, []);
});

test('streaming: a block whose progress foretells a missed deadline opens the second path, and the losing one is closed', () => {
  const player = new Player();
  player.block(0, 20_000, 45_000, BLOCK);
  player.sim.clock.advance(775);
  player.sim.kernel.readings.set('10.0.0.1', { totalRetransmits: 5 });
  player.block(0, 4000, 8000, 8000);
  player.sim.clock.advance(25);
  assert.deepEqual(player.paths, ['100.64.0.1']);
  assert.deepEqual(player.decisions.slice(0, 2), [
    '1125 open 100.64.0.1%wwan0 -> 10.1.0.1:80  # a block of 65536 B is 100 ms old and has 4000 B acknowledged',
    '1145 close 10.0.0.1:5000-10.1.0.1:80  # it loses: wwan0 is there',
  ]);
});

test('streaming: an RTO that leaves no time opens the second path before the next check', () => {
  const player = new Player();
  player.block(0, 60_000, 60_000, 60_000);
  assert.deepEqual(player.decisions, []);
  player.sim.kernel.stall(7, '10.0.0.1', 460);
  assert.match(player.decisions[0]!, /^225 open 100.64.0.1%wwan0 -> 10.1.0.1:80 {2}# RTO 460 ms on wlan0$/);
});

test('streaming: a path that is slow without losing is kept beside the second, which is given up when not needed', () => {
  const player = new Player({ settle: 2000 });
  player.block(0, 4000, 8000, 20_000, BLOCK);
  player.sim.clock.advance(100);
  assert.deepEqual(player.paths, ['10.0.0.1', '100.64.0.1']);
  player.block(0, 20_000, 45_000, BLOCK);
  player.sim.clock.advance(2000);
  assert.deepEqual(player.paths, ['10.0.0.1']);
  assert.match(player.decisions.at(-1)!, /no late block for 2000 ms$/);
});

test('streaming: returns to a first path that was closed when probes prove it', () => {
  const player = new Player({ probes: 3 });
  player.block(0, 20_000, 45_000, BLOCK);
  player.sim.kernel.readings.set('10.0.0.1', { totalRetransmits: 1 });
  player.block(0, 4000, 8000, BLOCK);
  player.sim.clock.advance(50);
  assert.deepEqual(player.paths, ['100.64.0.1']);
  player.sim.clock.advance(5000);
  assert.deepEqual(player.paths, ['100.64.0.1'], 'probes that needed a retransmission prove nothing');
  player.sim.kernel.readings.clear();
  player.sim.clock.advance(1600);
  assert.deepEqual(player.paths, ['10.0.0.1']);
  assert.match(player.decisions.at(-1)!, /close 100.64.0.1:\d+-10.1.0.1:80 {2}# wlan0 has recovered$/);
});

test('streaming: a second path that cannot be opened is tried again at intervals, and at once when there is none', () => {
  const player = new Player();
  player.sim.kernel.paths.set('100.64.0.1', 'refusing');
  player.block(0, 4000, 8000, 8000);
  player.sim.clock.advance(3000);
  assert.deepEqual(player.paths, ['10.0.0.1']);
  const opened = player.decisions.filter((line) => line.includes(' open ')).map(Number.parseFloat);
  assert.ok(opened.length > 3);
  for (const [index, at] of opened.slice(1).entries()) assert.ok(at - opened[index]! >= 500);
  player.sim.kernel.paths.clear();
  player.sim.kernel.lose(7, '10.0.0.1', 104);
  player.sim.clock.advance(20);
  assert.deepEqual(player.paths, ['100.64.0.1']);
});
