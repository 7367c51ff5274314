/** The test network itself: if this fails, look here first, not at the tests that stand on it. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import test from 'node:test';
import { makeNetwork } from './namespaces.ts';

test('both ends of every path reach each other, straight and through a router, IPv4 and IPv6', (t) => {
  for (const router of [false, true]) {
    const network = makeNetwork({ paths: 3, router });
    t.after(network.remove);
    for (const path of network.paths) {
      for (const [from, to] of [
        [path.client.ip4, path.server.ip4],
        [path.client.ip6, path.server.ip6],
      ] as const) {
        const route = network.client.run('ip', 'route', 'get', to, 'from', from);
        assert.match(route, new RegExp(`dev ${path.ifname} `));
        network.client.run('ping', '-c1', '-W2', '-I', from, to);
      }
    }
  }
});

test('loss, carrier and administrative state can be set and taken back', (t) => {
  const { client, paths, remove } = makeNetwork({ paths: 1 });
  t.after(remove);
  const [path] = paths;
  const answers = () => {
    try {
      client.run('ping', '-c1', '-W0.2', path!.server.ip4);
      return true;
    } catch {
      return false;
    }
  };
  const flags = () => /<([A-Z_,-]+)>/.exec(client.run('ip', 'link', 'show', path!.ifname))![1]!.split(',');
  path!.loss(100);
  assert.equal(answers(), false);
  path!.loss(0);
  assert.equal(answers(), true);
  path!.carrier(false);
  assert.ok(flags().includes('NO-CARRIER'));
  path!.carrier(true);
  path!.admin(false);
  assert.ok(!flags().includes('UP'));
  path!.admin(true);
  assert.equal(answers(), true);
});

test('nothing is left after remove, whatever still ran', async () => {
  const network = makeNetwork({ paths: 1, router: true });
  const sleeper = network.client.start('sleep', ['60']);
  const ended = new Promise((resolve) => sleeper.once('exit', (_code, signal) => resolve(signal)));
  network.remove();
  assert.equal(await ended, 'SIGKILL');
  const names = readdirSync('/run/netns');
  for (const { name } of [network.client, network.server, network.router!]) assert.ok(!names.includes(name));
});
