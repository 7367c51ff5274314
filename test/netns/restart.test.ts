/** What survives: connections and bytes a daemon killed at any moment, the state an overrun of events. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, TestDaemon } from './daemon.ts';
import { makeNetwork } from './namespaces.ts';
import { serve, takeDown, transfer } from './scene.ts';

const cleanups: (() => unknown)[] = [];
after(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

const MESH = {
  apps: [{ name: 'bulk', match: { remotePort: 5000 }, controller: 'fullmesh' }],
  default: { controller: 'single' },
};

test('daemons killed in the middle of 100 transfers lose no connection, no byte and no state', async () => {
  const network = makeNetwork({ sourceRouting: false });
  cleanups.push(() => network.remove());
  const client = await TestDaemon.start(network.client, MESH, { supervised: true });
  const server = await TestDaemon.start(
    network.server,
    { default: { controller: 'server-limit' } },
    { supervised: true },
  );
  cleanups.push(
    () => client.stop(),
    () => server.stop(),
  );
  await serve(network.server, network.paths[0]!.server.ip4);
  const sending = transfer(network.client, network.paths[0]!.server.ip4, {
    connections: 100,
    bytes: 600_000,
    rate: 60_000,
  });
  await eventually(
    'some transfers have begun',
    async () => (await client.connections()).length > 20 || undefined,
  );

  for (const daemon of [client, server]) {
    const { lines } = daemon.supervised!;
    const seen = lines.length;
    daemon.signal('SIGKILL');
    await daemon.supervised!.until(/^killed 9/, seen);
    await daemon.supervised!.until(/READY=1/, seen);
    await daemon.connect();
  }
  const found = await client.until(100, 2);
  assert.ok(found.every(({ app, controller }) => app === 'bulk' && controller === 'fullmesh'));
  assert.ok(found.every(({ side }) => side === 'client'));
  const accepted = await server.until(100, 2);
  assert.ok(accepted.every(({ side }) => side === 'server'));

  const result = await sending.end();
  assert.deepEqual([result.completed, result.intact], [100, 100], result.errors.join());
  await client.until(0, 0);
  await takeDown(network, client, server);
});

test('a server takes joins while its daemon restarts, and hears of them afterwards', async () => {
  const network = makeNetwork({ sourceRouting: false });
  cleanups.push(() => network.remove());
  const client = await TestDaemon.start(network.client, {
    default: { controller: 'server-limit', params: { subflows: 9 } },
  });
  const server = await TestDaemon.start(
    network.server,
    { default: { controller: 'server-limit' } },
    { supervised: true },
  );
  cleanups.push(
    () => client.stop(),
    () => server.stop(),
  );
  await serve(network.server, network.paths[0]!.server.ip4);
  const sending = transfer(network.client, network.paths[0]!.server.ip4, { bytes: 800_000, rate: 100_000 });
  const [made] = await client.until(1, 1);
  await client.event('established'); // before it the kernel takes no join

  const seen = server.supervised!.lines.length;
  server.signal('SIGKILL');
  await server.supervised!.until(/^killed 9/, seen);
  await client.call('open', { token: made!.token, from: network.paths[1]!.client.ip4 });
  await client.until(1, 2);
  const startedAgain = server.supervised!.lines.slice(seen).some((line) => /READY=1/.test(line));
  assert.equal(startedAgain, false, 'the join was answered before the daemon was back');
  await server.supervised!.until(/READY=1/, seen);
  await server.connect();
  await server.until(1, 2);
  assert.equal((await sending.end()).intact, 1);
  await takeDown(network, client, server);
});

test('after more events than the buffer holds, the state is what the kernel says', async () => {
  const network = makeNetwork({ sourceRouting: false });
  cleanups.push(() => network.remove());
  const client = await TestDaemon.start(network.client, { ...MESH, eventBuffer: '64KiB' });
  cleanups.push(() => client.stop());
  await serve(network.server, network.paths[0]!.server.ip4);
  const ending = transfer(network.client, network.paths[0]!.server.ip4, {
    connections: 60,
    bytes: 60_000,
    rate: 60_000,
  });
  await eventually('transfers have begun', async () => (await client.connections()).length > 30 || undefined);

  client.signal('SIGSTOP');
  // That they began is heard, that they ended is lost.
  const brief = transfer(network.client, network.paths[0]!.server.ip4, {
    connections: 80,
    bytes: 1000,
    rate: 10_000,
  });
  await brief.end();
  const staying = transfer(network.client, network.paths[0]!.server.ip4, {
    connections: 60,
    bytes: 600_000,
    rate: 60_000,
  });
  await ending.end(); // their CLOSED events are among the lost
  await sleep(300);
  client.signal('SIGCONT');
  await client.until(60, 2);
  assert.ok((await client.status()).resyncs >= 2, 'events were lost');
  assert.ok(client.notices.some((notice) => notice.kind === 'event' && notice.event.kind === 'lost'));
  const result = await staying.end();
  assert.deepEqual([result.completed, result.intact], [60, 60], result.errors.join());
  await client.until(0, 0);
  await takeDown(network, client);
});
