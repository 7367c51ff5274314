/** The daemon with eBPF: timeouts and ends of silences are events as they happen, and doctor can tell where from. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, TestDaemon } from './daemon.ts';
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

test('long-lived opens beside the first data after a silence, and closes that again when the path answers', async (t) => {
  let daemon!: TestDaemon;
  const { network, client } = await talk(t, {
    prepare: async (made) => {
      const policy = { sampleEvery: '60s', default: { controller: 'long-lived', params: { idle: '4s' } } };
      daemon = await TestDaemon.start(made.client, policy);
    },
  });
  t.after(() => daemon.stop());
  const [token] = localTokens(network.client);
  const decided = (count: number) =>
    eventually(`${count} decisions`, async () => {
      const { decisions } = await daemon.explain(token!);
      return decisions.length >= count ? decisions : undefined;
    });
  await sleep(5500);
  // Without any delay, the answer would be there before the event.
  network.paths[0]!.loss(100);
  client.stdin!.write('10\n');
  const resumed = await daemon.event('resumed');
  assert.equal(resumed.token, token);
  const [open] = await decided(1);
  assert.match(open!.why, /^first data after \d+ ms of silence$/);
  network.paths[0]!.loss(0);
  const [, close] = await decided(2);
  assert.match(close!.command!, /^close /);
  assert.match(close!.why, / answers$/);
  assert.equal(localTokens(network.client).length, 1);
});
