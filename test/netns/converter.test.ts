/** Transparent mode and the data path itself: MPTCP and TCP clients, a server without MPTCP. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { makeWorld, PORT, SERVER, type Times, transparent, until, type World } from './converter.ts';

const REFUSED = 111;
const SERVER6 = '[2001:db8:1::2]';
const SIZE = 50_000_000;

/** Nothing may be left once the connections of a test are gone. */
async function assertNothingLeft(world: World, files: number, sockets: number): Promise<void> {
  await until(
    () => world.stats(),
    ({ active }) => active === 0,
  );
  await until(
    () => world.files(),
    (now) => now <= files,
  );
  await until(
    () => world.sockets(),
    (now) => now <= sockets,
  );
}

for (const synOpen of ['off', 'parallel', 'hold'] as const) {
  describe(`a transparent converter, server's side at SYN time: ${synOpen}`, () => {
    let world: World;
    let files: number;
    let sockets: number;

    before(async () => {
      world = makeWorld();
      await world.serve();
      await world.converter.start(transparent({ synOpen }));
      files = world.files();
      sockets = world.sockets();
    });
    after(() => world.remove());

    test('every byte arrives, both ways at once, over two subflows', async () => {
      const transfer = world.load(world.client, ['both', `${SERVER}:${PORT}`, SIZE]);
      const seen = await until(
        () => world.connections(),
        ([first]) => first?.subflows === 2,
      );
      assert.equal(seen[0]?.protocol, 'mptcp');
      assert.equal(seen[0]?.subflows, 2);
      assert.equal(seen[0]?.server, `${SERVER}:${PORT}`);
      const { down, down_bad, up, up_bad } = await transfer.result;
      assert.deepEqual({ down, down_bad, up, up_bad }, { down: SIZE, down_bad: 0, up: SIZE, up_bad: 0 });
      assert.equal(world.counter(world.server, 'MPTcpExtMPCapableACKRX'), 0);
      assert.ok(world.counter(world.gate, 'MPTcpExtMPJoinAckRx') > 0);
      await assertNothingLeft(world, files, sockets);
    });

    test('plain TCP clients use the same door, and IPv6 does', async () => {
      for (const args of [
        ['-t', `${SERVER}:${PORT}`],
        [`${SERVER6}:${PORT}`],
        ['-t', `${SERVER6}:${PORT}`],
      ]) {
        const { down, down_bad, up, up_bad } = await world.run('both', ...args, 1_000_000);
        assert.deepEqual(
          { down, down_bad, up, up_bad },
          { down: 1_000_000, down_bad: 0, up: 1_000_000, up_bad: 0 },
          args.join(' '),
        );
      }
      await assertNothingLeft(world, files, sockets);
    });

    test('2000 short connections one after another, 1000 by 100 at a time, and nothing leaks', async () => {
      for (const [count, concurrency] of [
        [2000, 1],
        [1000, 100],
      ] as const) {
        const { done, bad, error } = await world.run('get', `${SERVER}:${PORT}`, 1024, count, concurrency);
        assert.deepEqual({ done, bad, error }, { done: count, bad: 0, error: 0 });
      }
      await assertNothingLeft(world, files, sockets);
      const { syn_opened, syn_used, syn_expired } = await world.stats();
      if (synOpen === 'off') assert.equal(syn_opened, 0);
      else assert.deepEqual([syn_used, syn_expired], [syn_opened, 0]);
    });

    test('a server that refuses, and one that cannot be reached', async () => {
      const refused = await world.run('get', `${SERVER}:${PORT + 1}`, 10, 1, 1);
      assert.equal(refused['done'], 0);
      // Without SYN-time opening the client was accepted before, and gets a reset.
      const before = await world.stats();
      if (synOpen === 'hold') assert.equal(refused['error'], REFUSED);
      const unreachable = await world.run('get', '-s', 1, `10.1.0.77:${PORT}`, 10, 1, 1);
      assert.equal(unreachable['done'], 0);
      assert.equal((await world.stats())['opened'], before['opened']);
      await until(
        () => world.stats(),
        ({ active }) => active === 0,
        15_000,
      );
    });

    test('resets in the middle are passed on, from either side', async () => {
      const before = await world.stats();
      const { got } = await world.run('abort', `${SERVER}:${PORT}`, 20_000_000);
      assert.ok(Number(got) >= 10_000_000);
      await until(
        () => world.stats(),
        ({ client_aborted }) => client_aborted === Number(before['client_aborted']) + 1,
      );
      await assertNothingLeft(world, files, sockets);
      for (const protocol of [[], ['-t']]) {
        const { server_aborted } = await world.stats();
        const reset = await world.load(world.client, ['reset', ...protocol, `${SERVER}:${PORT}`, 100_000])
          .result;
        assert.deepEqual([reset['got'], reset['error']], [100_000, 104]);
        await until(
          () => world.stats(),
          (now) => now['server_aborted'] === Number(server_aborted) + 1,
        );
      }
      await assertNothingLeft(world, files, sockets);
    });

    test('a slow reader holds back its server, in bounded memory', async () => {
      const slow = world.load(world.client, ['slow', `${SERVER}:${PORT}`, 60_000_000, 20_000]);
      const [seen] = await until(
        () => world.connections(),
        ([first]) => first !== undefined && first.held > 0,
      );
      assert.ok(seen!.held <= 256 << 10);
      const { got, bad } = await slow.result;
      assert.deepEqual({ got, bad }, { got: 60_000_000, bad: 0 });
      await assertNothingLeft(world, files, sockets);
    });

    test('connecting takes the clients of the converter no longer than a second', async () => {
      const { done, connect_us } = await world.run('syn', `${SERVER}:${PORT}`, 20, 1000);
      assert.equal(done, 20);
      assert.ok((connect_us as Times).median < 1_000_000);
      await assertNothingLeft(world, files, sockets);
    });
  });
}
