/** The daemon with eBPF: a timeout is a `stalled` event as it happens, and doctor can tell where from. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestDaemon } from './daemon.ts';
import { localTokens, talk } from './mptcp-talk.ts';

test('the daemon hears of timeouts from the kernel', async (t) => {
  let daemon!: TestDaemon;
  const { network, client } = await talk(t, {
    prepare: async (made) => {
      // A sampler so slow that it cannot be the one who noticed.
      const policy = { sampleEvery: '60s', default: { controller: 'single' } };
      daemon = await TestDaemon.start(made.client, policy);
    },
  });
  t.after(() => daemon.stop());
  assert.match((await daemon.status()).timeouts, /^sockops: /);
  const [token] = localTokens(network.client);
  network.paths[0]!.loss(100);
  client.stdin!.write('50000\n');
  const stalled = await daemon.event('stalled');
  assert.equal(stalled.token, token);
  assert.equal(stalled.local.ip, network.paths[0]!.client.ip4);
});
