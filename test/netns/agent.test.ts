/** The daemon on the real kernel: each event and command, over IPv4, IPv6 and both mixed; flaps; deadlines. */
import assert from 'node:assert/strict';
import { release } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventually, MAIN, TestDaemon } from './daemon.ts';
import { makeNetwork, type Network, type NetworkOptions } from './namespaces.ts';
import { PORT, serve, takeDown, transfer } from './scene.ts';

interface Scene {
  readonly network: Network;
  readonly client: TestDaemon;
  readonly server: TestDaemon;
}

/** Since Linux 6.2. */
const TELLS_OF_LISTENERS = !/^([1-5]\.|6\.[01]\.)/.test(release());

const cleanups: (() => unknown)[] = [];
after(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** Daemons on both sides, which do nothing by themselves unless told. */
async function scene(options: NetworkOptions & { client?: object; server?: object } = {}): Promise<Scene> {
  const network = makeNetwork({ sourceRouting: false, ...options });
  cleanups.push(() => network.remove());
  const quiet = { default: { controller: 'server-limit', params: { subflows: 100 } } };
  const client = await TestDaemon.start(network.client, options.client ?? quiet);
  const server = await TestDaemon.start(network.server, options.server ?? quiet);
  cleanups.push(
    () => client.stop(),
    () => server.stop(),
  );
  return { network, client, server };
}

const FAMILIES = [
  {
    name: 'IPv4',
    listen: (n: Network) => n.paths[0]!.server.ip4,
    connect: (n: Network) => n.paths[0]!.server.ip4,
    second: 'ip4',
  },
  {
    name: 'IPv6',
    listen: (n: Network) => n.paths[0]!.server.ip6,
    connect: (n: Network) => n.paths[0]!.server.ip6,
    second: 'ip6',
  },
  {
    name: 'IPv4 to an IPv6 listener',
    listen: () => '::',
    connect: (n: Network) => n.paths[0]!.server.ip4,
    second: 'ip4',
  },
] as const;

for (const { name, listen, connect, second } of FAMILIES) {
  test(`${name}: every command does what it says, every event reaches both sides`, async () => {
    const { network, client, server } = await scene();
    await serve(network.server, listen(network));
    if (TELLS_OF_LISTENERS) assert.equal((await server.event('listener-up')).local.port, PORT);

    const sending = transfer(network.client, connect(network), { bytes: 3000000, rate: 1000000 });
    const [made] = await client.until(1, 1);
    const [accepted] = await server.until(1, 1);
    assert.equal(made!.side, 'client');
    assert.equal(accepted!.side, 'server');
    for (const side of [client, server]) {
      assert.equal((await side.event('created')).kind, 'created');
      assert.equal((await side.event('established')).kind, 'established');
    }

    const from = network.paths[1]!.client[second];
    await client.call('open', { token: made!.token, from });
    await client.until(1, 2);
    assert.equal((await client.event('subflow-up')).local.ip, from);
    assert.equal((await server.event('subflow-up')).remote.ip, from);
    const [withTwo] = await server.until(1, 2);
    assert.ok(withTwo!.subflows.every(({ rtt_us, state }) => state === 'established' && rtt_us! > 0));

    const subflow = (await client.connections())[0]!.subflows.find(
      ({ ifname }) => ifname === network.paths[1]!.ifname,
    )!;
    assert.ok(subflow.rtt_us! > 0, 'the subflow bound to an interface is read too');
    await client.call('backup', { token: made!.token, subflow: subflow.key, on: true });
    const priority = await server.event('priority');
    assert.equal(priority.backup, true);
    assert.equal(priority.remote.ip, from);

    const address = network.paths[1]!.server[second];
    await server.call('announce', { token: accepted!.token, address });
    const announced = await client.event('remote-up');
    assert.equal(announced.remote.ip, address);
    await server.call('withdraw', { token: accepted!.token, address });
    assert.equal((await client.event('remote-down')).id, announced.remote.id);

    await client.call('close', { token: made!.token, subflow: subflow.key });
    await client.event('subflow-down');
    await server.event('subflow-down');
    await client.until(1, 1);

    const result = await sending.end();
    assert.deepEqual([result.completed, result.intact], [1, 1], result.errors.join());
    await client.event('closed');
    await server.event('closed');
    await client.until(0, 0);
    const explained = client.notices.filter(({ kind }) => kind === 'decision').length;
    assert.ok(explained >= 3, 'every command is a decision');
    await takeDown(network, client, server);
  });
}

test('fullmesh follows links and addresses over three paths, and loses no byte', async () => {
  const mesh = { default: { controller: 'fullmesh' } };
  const { network, client } = await scene({ paths: 3, client: mesh });
  await serve(network.server, network.paths[0]!.server.ip4);
  const sending = transfer(network.client, network.paths[0]!.server.ip4, { bytes: 6000000, rate: 1200000 });
  await client.until(1, 3);
  network.paths[1]!.carrier(false);
  await client.until(1, 2);
  network.paths[1]!.carrier(true);
  await client.until(1, 3);
  const { ifname, client: addresses } = network.paths[2]!;
  network.client.ip(`addr del ${addresses.ip4}/24 dev ${ifname}\n`);
  await client.until(1, 2);
  network.client.ip(
    `addr add ${addresses.ip4}/24 dev ${ifname}\nroute add default via ${network.paths[2]!.gateway.ip4} dev ${ifname} metric 102\n`,
  );
  await client.until(1, 3);
  const result = await sending.end();
  assert.deepEqual([result.completed, result.intact], [1, 1], result.errors.join());
  await takeDown(network, client);
});

test('a SYN without answer ends in the deadline, is explained, and is given up in the kernel', async () => {
  const { network, client } = await scene({
    client: { openDeadline: '2s', default: { controller: 'server-limit' } },
  });
  await serve(network.server, network.paths[0]!.server.ip4);
  const sending = transfer(network.client, network.paths[0]!.server.ip4, { bytes: 6000000, rate: 1000000 });
  const [made] = await client.until(1, 1);
  network.paths[1]!.loss(100);
  await client.call('open', { token: made!.token, from: network.paths[1]!.client.ip4 });
  assert.match(network.client.run('ss', '-tnH', 'state', 'syn-sent'), /10\.0\.2\.2/);
  const outcome = await eventually('the open has failed', async () => {
    const { decisions } = await client.explain(made!.token);
    return decisions.find((decision) => decision.outcome?.startsWith('failed'))?.outcome;
  });
  assert.equal(outcome, 'failed: no answer within 2000 ms (errno 110)');
  assert.equal(network.client.run('ss', '-tnH', 'state', 'syn-sent').trim(), '');
  assert.equal((await sending.end()).intact, 1);
  await takeDown(network, client);
});

test('connections of the in-kernel manager are shown and never commanded', async () => {
  const network = makeNetwork({ userspace: false });
  cleanups.push(() => network.remove());
  await serve(network.server, network.paths[0]!.server.ip4);
  const sending = transfer(network.client, network.paths[0]!.server.ip4, { bytes: 2500000, rate: 500000 });
  await eventually('the transfer runs', async () => network.client.run('ss', '-MnH').trim() || undefined);
  const client = await TestDaemon.start(network.client, { default: { controller: 'fullmesh' } });
  cleanups.push(() => client.stop());
  const [found] = await client.until(1, 1);
  assert.equal(found!.commanded, false);
  assert.equal(found!.side, 'client');
  await assert.rejects(client.call('open', { token: found!.token }), /in-kernel path manager/);
  assert.equal((await sending.end()).intact, 1);
  await client.stop();
  await eventually('the sysctl is put back', async () =>
    network.client.run('sysctl', '-n', 'net.mptcp.pm_type').trim() === '0' ? true : undefined,
  );
  network.remove();
});

test('what a killed daemon has set on the host is put back on demand, and not under a running one', async () => {
  const network = makeNetwork({ userspace: false, sourceRouting: false });
  cleanups.push(() => network.remove());
  const client = await TestDaemon.start(network.client, { default: { controller: 'single' } });
  cleanups.push(() => client.stop());
  const found = () => [
    network.client.run('sysctl', '-n', 'net.mptcp.pm_type').trim(),
    network.client.run('ip', 'rule').includes('proto 77'),
  ];
  const putBack = () =>
    network.client.run(
      process.execPath,
      MAIN,
      '--put-back',
      '--control',
      join(client.folder, 'control.sock'),
    );
  assert.deepEqual(found(), ['1', true]);
  assert.throws(putBack, /another smappd/);
  assert.deepEqual(found(), ['1', true]);
  await client.crash();
  putBack();
  assert.deepEqual(found(), ['0', false]);
  network.remove();
});

test("a server limits subflows, and takes the client's word for the rest", async () => {
  const { network, client, server } = await scene({
    paths: 3,
    client: { default: { controller: 'fullmesh', params: { afterReset: '1h' } } },
    server: { default: { controller: 'server-limit', params: { subflows: 2 } } },
  });
  await serve(network.server, network.paths[0]!.server.ip4);
  const sending = transfer(network.client, network.paths[0]!.server.ip4, { bytes: 2000000, rate: 400000 });
  await server.until(1, 2);
  await client.event('subflow-down');
  await client.until(1, 2);
  assert.equal((await sending.end()).intact, 1);
  await takeDown(network, client, server);
});
