/** What a policy may say of the converter beyond its doors: who comes in, how many, for how long, and as whom. */
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { makeWorld, PORT, SERVER, transparent, until, type World } from './converter.ts';

const TO = `${SERVER}:${PORT}`;
const RESET = 104;

describe('the converter keeps to its policy', () => {
  let world: World;

  beforeEach(async () => {
    world = makeWorld();
    await world.serve();
  });
  afterEach(() => world.remove());

  test('sources that are not allowed are reset', async () => {
    await world.converter.start(transparent({ sources: ['192.0.2.0/24'] }));
    const { done, error } = await world.run('get', TO, 10, 3, 1);
    assert.deepEqual({ done, error }, { done: 0, error: RESET });
    const { denied_source, accepted } = await world.stats();
    assert.deepEqual({ denied_source, accepted }, { denied_source: 3, accepted: 0 });
    await world.converter.reload(transparent({ sources: ['10.0.1.2'] }));
    assert.equal((await world.run('get', TO, 10, 3, 1))['done'], 3);
  });

  test('destinations that are denied are reset, in transparent mode too', async () => {
    await world.converter.start(transparent({ allow: [], deny: [`${SERVER}/32`] }));
    assert.equal((await world.run('get', TO, 10, 1, 1))['done'], 0);
    assert.equal((await world.stats())['denied_destination'], 1);
  });

  test('no more connections than one source, or all, may have', async () => {
    for (const [bound, synOpen] of [
      [{ perSource: 5 }, 'off'],
      [{ connections: 10, threads: 2 }, 'parallel'],
    ] as const) {
      await world.converter.start(transparent({ ...bound, synOpen }));
      const most = 'perSource' in bound ? bound.perSource : bound.connections;
      const idle = world.load(world.client, ['idle', TO, 30]);
      await idle.line;
      const { active } = await until(
        () => world.stats(),
        (now) => Number(now['too_many']) > 0 && Number(now['active']) + Number(now['too_many']) === 30,
      );
      assert.ok(Number(active) <= most && Number(active) >= most / 2, `${active} of ${most}`);
      idle.child.stdin!.end();
      await until(
        () => world.stats(),
        (now) => now['active'] === 0,
      );
      assert.equal((await world.run('get', TO, 10, 20, 2))['bad'], 0);
      await world.converter.stop();
    }
  });

  test('connections on which nothing moves end', async () => {
    await world.converter.start(transparent({ idleTimeout: '1s' }));
    const idle = world.load(world.client, ['idle', TO, 3]);
    await idle.line;
    await until(
      () => world.stats(),
      (now) => now['idle_timeout'] === 3 && now['active'] === 0,
    );
    idle.child.stdin!.end();
  });

  test('with `spoof` servers see the client, else the converter', async () => {
    for (const [spoof, synOpen] of [
      [false, 'off'],
      [true, 'off'],
      [true, 'parallel'],
      [true, 'hold'],
    ] as const) {
      const { interfaces, ports } = { interfaces: ['path0', 'path1'], ports: [PORT] };
      await world.converter.start(transparent({ transparent: { interfaces, ports, spoof }, synOpen }));
      const idle = world.load(world.client, ['idle', TO, 1]);
      await idle.line;
      const sockets = () => world.server.run('ss', '-tnH', 'state', 'established');
      await until(sockets, (text) => text.includes(spoof ? '10.0.1.2]' : '10.1.0.1]'));
      assert.equal((await world.run('get', TO, 100_000, 20, 5))['done'], 20, `${spoof} ${synOpen}`);
      idle.child.stdin!.end();
      await idle.result;
      await world.converter.stop();
    }
  });

  test('a client that connects to the converter itself is not led in a circle', async () => {
    for (const synOpen of ['off', 'parallel', 'hold']) {
      await world.converter.start(transparent({ synOpen }));
      const { done } = await world.run('get', '-s', 2, `10.0.1.1:${PORT}`, 10, 2, 1);
      assert.equal(done, 0);
      const { accepted, denied_destination } = await world.stats();
      assert.deepEqual({ accepted, denied_destination }, { accepted: 2, denied_destination: 2 }, synOpen);
      await world.converter.stop();
    }
  });
});
