/** The host's paths on the real kernel: addresses and links that come and go, and source routing. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { HostProcess, type Setup } from './host-process.ts';
import { makeNetwork, type Namespace, type Network } from './namespaces.ts';

const NOTHING: Setup = { sourceRouting: false, roles: {}, sysctls: {} };
const ROUTING: Setup = { ...NOTHING, sourceRouting: true };

function network(
  t: TestContext,
  options: Parameters<typeof makeNetwork>[0] = {},
): Network & { journal: string } {
  const made = makeNetwork({ router: true, sourceRouting: false, ...options });
  const folder = mkdtempSync(join(tmpdir(), 'smappd-host-'));
  t.after(() => {
    made.remove();
    rmSync(folder, { recursive: true });
  });
  return { ...made, journal: join(folder, 'host.json') };
}

async function started(namespace: Namespace, journal: string, setup: Setup): Promise<HostProcess> {
  const host = new HostProcess(namespace, journal, setup);
  await host.until('started');
  return host;
}

/** Rules and routes of all tables, as `ip` shows them, without what the kernel makes by itself. */
function routing({ run }: { run: Namespace['run'] }): string[] {
  const show = (...args: string[]) => run('ip', ...args).split('\n');
  return [
    ...show('-4', 'rule'),
    ...show('-6', 'rule'),
    ...show('-4', 'route', 'show', 'table', 'all'),
    ...show('-6', 'route', 'show', 'table', 'all'),
  ].filter((line) => line !== '' && !/table local|^(local|broadcast|multicast|anycast) /.test(line));
}

function linkOf(namespace: Namespace, from: string, to: string): string {
  return / dev (\S+) /.exec(namespace.run('ip', 'route', 'get', to, 'from', from))![1]!;
}

const bound = (namespace: Namespace) => ({ run: namespace.run.bind(namespace) });

test('addresses and links that come and go are told of, with the same id when they return', async (t) => {
  const { client, paths, journal } = network(t);
  const host = new HostProcess(client, journal, NOTHING);
  await host.until('started');
  const idOf = (line: string) => /#(\d+)%/.exec(line)![1];
  const [path] = paths;
  const { ip4, ip6 } = path!.client;

  path!.carrier(false);
  const lost = [await host.until('local-down'), await host.until('local-down')].sort();
  assert.match(lost[0]!, new RegExp(`local-down ${ip4}#\\d+%path0 primary`));
  assert.match(lost[1]!, new RegExp(`local-down ${ip6}#\\d+%path0 primary`));
  path!.carrier(true);
  const back = [await host.until('local-up'), await host.until('local-up')].sort();
  assert.deepEqual(back.map(idOf), lost.map(idOf));

  client.ip(`addr del ${ip4}/24 dev path0\n`);
  await host.until(`local-down ${ip4}`);
  client.ip(
    `addr add ${ip4}/24 dev path0\nroute add default via ${path!.gateway.ip4} dev path0 metric 100\n`,
  );
  assert.equal(idOf(await host.until(`local-up ${ip4}`)), idOf(lost[0]!));

  path!.admin(false);
  await host.until(`local-down ${ip6}`);
  path!.admin(true);
  client.ip(`
    addr add ${ip6}/64 dev path0 nodad
    route add default via ${path!.gateway.ip6} dev path0
    route add default via ${path!.gateway.ip4} dev path0 metric 100
  `);
  assert.equal(idOf(await host.until(`local-up ${ip6}`)), idOf(lost[1]!));

  await host.crash();
  const again = new HostProcess(client, journal, NOTHING);
  assert.equal(idOf(await again.until(`local-up ${ip4}`)), idOf(lost[0]!));
});

test('a new policy changes roles and takes interfaces away', async (t) => {
  const { client, journal } = network(t);
  const host = await started(client, journal, NOTHING);
  host.lines.length = 0;
  host.configure({ ...NOTHING, roles: { path0: 'backup', path1: 'ignore' } });
  await host.until('local-down 10.0.2.2');
  assert.match(await host.until('local-up 10.0.1.2#'), /%path0 backup/);
  host.configure({ ...NOTHING, roles: { path0: 'backup' } });
  assert.match(await host.until('local-up 10.0.2.2'), /%path1 primary/);
  assert.ok(!host.lines.some((line) => line.includes('%path0')), 'what did not change is not told again');
});

test('tentative, deprecated, temporary and link-local addresses are not used', async (t) => {
  const { client, journal } = network(t);
  const host = await started(client, journal, NOTHING);
  client.ip(`
    addr add 2001:db8:0:1::dead/64 dev path0 preferred_lft 0
    addr add 169.254.3.3/16 dev path0
    addr add 2001:db8:0:1::7/64 dev path0 nodad
  `);
  await host.until('local-up 2001:db8:0:1::7#');
  // Its preferred lifetime ends: it stays, but nothing new may start from it.
  client.ip('addr change 2001:db8:0:1::7/64 dev path0 preferred_lft 0\n');
  await host.until('local-down 2001:db8:0:1::7#');
  assert.deepEqual(host.lines, []);
});

test('source routing: each address leaves by its link, and everything is put back at the end', async (t) => {
  const { client, server, paths, journal } = network(t, { paths: 3 });
  client.ip(`
    link add bridge0 type veth peer name container0
    addr add 172.17.0.1/16 dev bridge0
    link set bridge0 up
    link set container0 up
    rule add from 10.9.9.9 lookup 77 priority 32000
    route add 10.9.0.0/16 dev path1 table 77
  `);
  const before = routing(bound(client));
  assert.equal(linkOf(client, paths[1]!.client.ip4, '10.1.0.2'), 'path0');
  const host = await started(client, journal, ROUTING);
  for (const { ifname, client: from, server: to } of paths) {
    assert.equal(linkOf(client, from.ip4, to.ip4), ifname);
    assert.equal(linkOf(client, from.ip6, to.ip6), ifname);
    assert.equal(linkOf(client, from.ip4, '172.17.0.9'), 'bridge0');
    client.run('ping', '-c1', '-W2', '-I', from.ip4, to.ip4);
    client.run('ping', '-c1', '-W2', '-I', from.ip6, to.ip6);
  }
  assert.ok(server);
  await host.stop();
  assert.deepEqual(routing(bound(client)), before);
});

test('source routing follows gateways, addresses and links', async (t) => {
  const { client, journal } = network(t);
  const host = await started(client, journal, ROUTING);
  const from = '10.0.2.2';
  const gateway = () => / via (\S+) /.exec(client.run('ip', 'route', 'get', '192.0.2.1', 'from', from))?.[1];
  assert.equal(gateway(), '10.0.2.1');
  client.ip('route replace default via 10.0.2.77 dev path1 metric 101\n');
  await eventually(() => gateway() === '10.0.2.77');
  client.ip('addr add 10.0.2.3/24 dev path1\n');
  await host.until('local-up 10.0.2.3');
  assert.equal(linkOf(client, '10.0.2.3', '192.0.2.1'), 'path1');
  client.ip('addr del 10.0.2.3/24 dev path1\n');
  await host.until('local-down 10.0.2.3');
  await eventually(() => !client.run('ip', 'rule').includes('10.0.2.3'));
  // Someone removes ours: it is made again.
  client.ip(`rule del from ${from}\n`);
  await eventually(() => client.run('ip', 'rule').includes(from));
  client.ip('link del path1\n');
  await host.until('local-down 10.0.2.2');
  await eventually(() => !client.run('ip', 'rule').includes(from));
  assert.deepEqual(
    host.lines.filter((line) => line.startsWith('log')),
    [],
  );
});

test('a point-to-point link without a gateway, as LTE modems have, is routed too', async (t) => {
  const { client, journal } = network(t);
  client.ip(`
    addr flush dev path1
    addr add 10.64.0.9 peer 10.64.0.1 dev path1
    route add default dev path1 metric 700 mtu 1420
  `);
  const host = new HostProcess(client, journal, ROUTING);
  await host.until('local-up 10.64.0.9#');
  assert.match(client.run('ip', 'route', 'get', '192.0.2.1', 'from', '10.64.0.9'), / dev path1 .*mtu 1420/s);
  assert.equal(linkOf(client, '10.0.1.2', '192.0.2.1'), 'path0');
  await host.stop();
});

test('routes over several links, and over gateways of the other family, are copied as they are', async (t) => {
  const { client, journal } = network(t);
  client.ip(`
    route add 0.0.0.0/0 via inet6 fe80::1 dev path1 metric 5
    route add 10.77.0.0/16 nexthop via 10.0.1.1 dev path0 nexthop via 10.0.2.1 dev path1
    route add unreachable 10.78.0.0/16
  `);
  const host = await started(client, journal, ROUTING);
  const copies = client
    .run('ip', 'route', 'show', 'table', 'all', 'proto', '77')
    .split('\n')
    .map((line) => line.replace(/table \d+ /, '').trim());
  assert.ok(copies.includes('default via inet6 fe80::1 dev path1 metric 5'), copies.join('; '));
  assert.ok(copies.includes('10.77.0.0/16 via 10.0.1.1 dev path0'), copies.join('; '));
  assert.ok(copies.includes('10.77.0.0/16 via 10.0.2.1 dev path1'), copies.join('; '));
  assert.ok(!copies.some((line) => line.includes('10.78')), copies.join('; '));
  await host.stop();
});

test('after a crash source routing stays for the next run to take over, or to put back', async (t) => {
  const { client, journal } = network(t);
  const before = routing(bound(client));
  const first = await started(client, journal, ROUTING);
  const during = routing(bound(client));
  assert.notDeepEqual(during, before);
  await first.crash();
  const second = await started(client, journal, ROUTING);
  assert.deepEqual(routing(bound(client)), during);
  await second.crash();
  const third = await started(client, journal, NOTHING);
  assert.deepEqual(routing(bound(client)), before);
  third.configure(ROUTING);
  await third.until('configured');
  assert.deepEqual(routing(bound(client)), during);
  await third.stop();
  assert.deepEqual(routing(bound(client)), before);
});

test('a host with one uplink, or with source routing of its own, is left alone', async (t) => {
  for (const options of [{ paths: 1 }, { paths: 2, sourceRouting: true }]) {
    const { client, journal } = network(t, options);
    const before = routing(bound(client));
    const host = await started(client, journal, ROUTING);
    assert.deepEqual(routing(bound(client)), before);
    await host.stop();
  }
});

test('sysctls are put back: at the end, after a crash, but not over what someone else has set since', async (t) => {
  const { client, journal } = network(t, { userspace: false });
  const read = () => client.readSysctl('net.mptcp.pm_type');
  const setup = { ...NOTHING, sysctls: { 'net.mptcp.pm_type': '1' } };
  const first = await started(client, journal, setup);
  assert.equal(read(), '1');
  await first.crash();
  const second = await started(client, journal, setup);
  await second.stop();
  assert.equal(read(), '0');
  const third = await started(client, journal, setup);
  await third.crash();
  await (await started(client, journal, NOTHING)).stop();
  assert.equal(read(), '0');

  const add = { ...NOTHING, sysctls: { 'net.mptcp.add_addr_timeout': '30' } };
  const fourth = await started(client, journal, add);
  client.sysctl({ 'net.mptcp.add_addr_timeout': 40 });
  await fourth.stop();
  assert.equal(client.readSysctl('net.mptcp.add_addr_timeout'), '40');
});

test('after more changes than the socket holds, what is told is what is', async (t) => {
  const { client, journal } = network(t, { paths: 1 });
  const host = await started(client, journal, NOTHING);
  const many = Array.from({ length: 3000 }, (_, i) => `10.3.${i >> 8}.${i & 255}/32 dev path0\n`);
  host.freeze(true);
  client.ip(many.map((one) => `addr add ${one}`).join(''));
  client.ip(many.map((one) => `addr del ${one}`).join(''));
  client.ip('addr del 10.0.1.2/24 dev path0\naddr add 10.4.0.1/24 dev path0\n');
  client.ip('route add default via 10.4.0.2 dev path0\n');
  host.freeze(false);
  await host.until('local-down 10.0.1.2');
  await host.until('local-up 10.4.0.1');
  assert.deepEqual(host.lines, []);
});

test('of more addresses than there are ids, 254 are used, and the rest is said not to be', async (t) => {
  const { client, journal } = network(t, { paths: 1 });
  const some = Array.from({ length: 300 }, (_, i) => `10.3.${i >> 8}.${i & 255}/32 dev path0\n`);
  client.ip(some.map((one) => `addr add ${one}`).join(''));
  const host = new HostProcess(client, journal, NOTHING);
  await host.until('more than 254 usable addresses');
  await host.until('started');
  assert.deepEqual(host.lines, []);
});

async function eventually(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 400) throw new Error('did not come true in 20 s');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
