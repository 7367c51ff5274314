/** Opening the server's side at SYN time has bounds, and clients beyond them are served all the same. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { type DataPathStats, readStats } from '../../agent/converter/status.ts';
import { makeWorld, PORT, PROGRAM, SERVER, until, type World } from './converter.ts';

const DOOR = '10.0.1.1:9000';

describe('SYN-time opening', () => {
  let world: World;
  let stats: () => Promise<DataPathStats>;

  beforeEach(async () => {
    world = makeWorld();
    await world.serve();
  });
  afterEach(() => world.remove());

  /** The data path alone, with one door to the server and these bounds. */
  async function start(...bounds: string[]): Promise<void> {
    const socket = join(world.folder, 'alone.sock');
    const door = `forward,0.0.0.0:9000,${SERVER}:${PORT}`;
    const args = ['--listen', door, '--syn-open', 'parallel', '--control', socket, ...bounds];
    world.gate.start(PROGRAM, args, { stdio: 'ignore' });
    stats = () => readStats(socket);
    await until(
      () => stats().catch(() => undefined),
      (now) => now !== undefined,
    );
  }

  test('a source over its rate is served without it', async () => {
    await start('--syn-rate', '5');
    const { done, bad } = await world.run('get', DOOR, 1024, 200, 10);
    assert.deepEqual({ done, bad }, { done: 200, bad: 0 });
    const { syn_seen, syn_opened, syn_over_rate } = await stats();
    assert.ok(Number(syn_opened) >= 5 && Number(syn_opened) < 50, String(syn_opened));
    assert.ok(Number(syn_over_rate) >= 150);
    // The joins of the second path are seen too, and open nothing.
    assert.ok(Number(syn_seen) >= Number(syn_opened) + Number(syn_over_rate));
  });

  test('SYNs that nothing follows fill the table at most, and are forgotten', async () => {
    await start('--syn-table', '8');
    const idle = world.files(Number((await stats()).pid));
    world.client.run(
      'nft',
      'add table ip lost; add chain ip lost in { type filter hook prerouting priority raw; }; ' +
        'add rule ip lost in tcp flags & (syn | ack) == syn | ack drop',
    );
    const clients = world.load(world.client, ['get', '-s', 1, DOOR, 1024, 20, 20]);
    await until(stats, ({ syn_over_table }) => Number(syn_over_table) >= 12);
    const { syn_opened, pid } = await stats();
    assert.equal(syn_opened, 8);
    assert.equal(world.files(pid), idle + 8);
    clients.child.kill();
    await until(stats, ({ syn_expired }) => Number(syn_expired) >= 8, 15_000);
    assert.ok(world.files(pid) <= idle + 8);
    world.client.run('nft', 'delete', 'table', 'ip', 'lost');
    const { done } = await world.run('get', DOOR, 1024, 50, 5);
    assert.equal(done, 50);
  });
});
