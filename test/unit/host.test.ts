/** Decisions about the host's paths, without a kernel: which addresses are used, under which id, routed how. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { AddressIds } from '../../agent/host/ids.ts';
import { Journal } from '../../agent/host/journal.ts';
import type { HostState } from '../../agent/host/kernel.ts';
import {
  ourRouting,
  PROTOCOL,
  type Routing,
  steps,
  TABLES,
  wantedRouting,
} from '../../agent/host/source-routing.ts';
import { type AddressRules, usableAddresses } from '../../agent/host/usable.ts';
import type { InterfaceAddress, Link, Route } from '../../agent/netlink/rtnetlink.ts';

const everything: AddressRules = {
  interfaceRule: () => ({ role: 'primary', metered: false, named: false }),
  linkLocal: false,
  temporary: false,
  ignored: () => false,
};
const silent = { info() {}, warn() {} };

const lo: Link = { ifindex: 1, ifname: 'lo', up: true, carrier: true, loopback: true };
const wlan0: Link = { ifindex: 2, ifname: 'wlan0', up: true, carrier: true, loopback: false };
const wwan0: Link = { ifindex: 3, ifname: 'wwan0', up: true, carrier: true, loopback: false };
const docker0: Link = { ifindex: 4, ifname: 'docker0', up: true, carrier: true, loopback: false };

function address(ip: string, ifindex: number, flags: Partial<InterfaceAddress> = {}): InterfaceAddress {
  const family = ip.includes(':') ? 6 : 4;
  return { family, ip, ifindex, tentative: false, deprecated: false, temporary: false, ...flags };
}

function route(destination: string, ifindex: number, gateway?: string, more: Partial<Route> = {}): Route {
  const family = destination.includes(':') ? 6 : 4;
  const rest = { table: 254, metric: 100, onlink: false, mtu: undefined, protocol: 4 };
  return { family, destination, ifindex, gateway, ...rest, ...more };
}

/** A phone: Wi-Fi and LTE with default routes, and a bridge with containers. */
const phone: HostState = {
  links: [lo, wlan0, wwan0, docker0],
  addresses: [
    address('127.0.0.1', 1),
    address('::1', 1),
    address('192.168.1.5', 2),
    address('fe80::5', 2),
    address('2001:db8:1::5', 2),
    address('2001:db8:1::1234', 2, { temporary: true }),
    address('fd12::5', 2),
    address('10.64.0.9', 3),
    address('172.17.0.1', 4),
  ],
  routes: [
    route('0.0.0.0/0', 2, '192.168.1.1', { metric: 600 }),
    route('0.0.0.0/0', 3, undefined, { metric: 700, mtu: 1420 }),
    route('192.168.1.0/24', 2),
    route('10.64.0.0/24', 3),
    route('172.17.0.0/16', 4),
    route('fe80::/64', 2),
    route('2001:db8:1::/64', 2),
    route('::/0', 2, 'fe80::1', { metric: 1024 }),
  ],
  rules: [],
};
/** Linux without source routing: by the destination alone. */
const byDestination = (_source: string, to: string): number | undefined =>
  to.startsWith('10.64.') ? 3 : to.startsWith('172.17.') ? 4 : 2;

const used = (state: HostState, rules = everything) => usableAddresses(state, rules).map(({ ip }) => ip);

test('without a policy, addresses of interfaces with a default route are used, as NetworkManager does', () => {
  assert.deepEqual(used(phone), ['192.168.1.5', '2001:db8:1::5', '10.64.0.9']);
});

test('an interface that the policy names needs no default route, and its unique local addresses count', () => {
  const interfaceRule = (ifname: string) => ({
    role: ifname === 'wwan0' ? ('backup' as const) : ('primary' as const),
    metered: ifname === 'wwan0',
    named: true,
  });
  const found = usableAddresses(phone, { ...everything, interfaceRule });
  const line = ({ ip, ifname, role, metered }: (typeof found)[number]) =>
    `${ip}%${ifname} ${role}${metered ? ' metered' : ''}`;
  assert.deepEqual(found.map(line), [
    '192.168.1.5%wlan0 primary',
    '2001:db8:1::5%wlan0 primary',
    'fd12::5%wlan0 primary',
    '10.64.0.9%wwan0 backup metered',
    '172.17.0.1%docker0 primary',
  ]);
});

test('tentative and deprecated addresses are never used; link-local, temporary and ignored ones by the policy', () => {
  const state = {
    ...phone,
    addresses: [
      address('2001:db8:1::a', 2, { tentative: true }),
      address('2001:db8:1::b', 2, { deprecated: true }),
      address('2001:db8:1::c', 2, { temporary: true }),
      address('169.254.7.7', 2),
      address('192.168.1.6', 2),
    ],
  };
  assert.deepEqual(used(state), ['192.168.1.6']);
  assert.deepEqual(used(state, { ...everything, temporary: true }), ['2001:db8:1::c', '192.168.1.6']);
  assert.deepEqual(used(state, { ...everything, linkLocal: true }), ['169.254.7.7', '192.168.1.6']);
  assert.deepEqual(used(state, { ...everything, ignored: (ip) => ip === '192.168.1.6' }), []);
});

test('an address on a link without carrier is usable, but not live', () => {
  const links = [{ ...wlan0, carrier: false }, { ...wwan0, up: false }, docker0];
  const live = usableAddresses({ ...phone, links }, everything).map((found) => found.live);
  assert.deepEqual(live, [false, false, false]);
});

test('two uplinks get a table and rules each; containers stay reachable, the other uplink does not', () => {
  const wanted = wantedRouting(phone, usableAddresses(phone, everything), byDestination);
  assert.deepEqual(shown(wanted), [
    'route 0.0.0.0/0 via 192.168.1.1 dev 2 table 2 metric 600',
    'route 192.168.1.0/24 dev 2 table 2 metric 100',
    'route 172.17.0.0/16 dev 4 table 2 metric 100',
    'route 0.0.0.0/0 dev 3 table 3 metric 700 mtu 1420',
    'route 10.64.0.0/24 dev 3 table 3 metric 100',
    'route 172.17.0.0/16 dev 4 table 3 metric 100',
    'rule from 192.168.1.5 table 2',
    'rule from 10.64.0.9 table 3',
  ]);
});

test('a host that routes by source already, or has one uplink, is left alone', () => {
  const usable = usableAddresses(phone, everything);
  const bySource = (source: string) => usable.find(({ ip }) => ip === source)?.ifindex;
  assert.deepEqual(wantedRouting(phone, usable, bySource), { routes: [], rules: [] });
  const one = usable.filter(({ ifname }) => ifname === 'wlan0');
  assert.deepEqual(
    wantedRouting(phone, one, () => 2),
    { routes: [], rules: [] },
  );
});

test('what was made once stays, although the kernel now routes rightly; others routes and rules are not ours', () => {
  const usable = usableAddresses(phone, everything);
  const wanted = wantedRouting(phone, usable, byDestination);
  const foreign = {
    routes: [
      route('0.0.0.0/0', 2, '192.168.1.9', { table: TABLES + 2 }),
      route('1.0.0.0/8', 2, undefined, { protocol: PROTOCOL }),
    ],
    rules: [{ family: 4, priority: 32_000, source: '10.64.0.9', table: 9, protocol: 4 } as const],
  };
  const state = {
    ...phone,
    routes: [...phone.routes, ...wanted.routes, ...foreign.routes],
    rules: [...wanted.rules, ...foreign.rules],
  };
  assert.deepEqual(ourRouting(state), wanted);
  const again = wantedRouting({ ...state, routes: [...phone.routes, ...wanted.routes] }, usable, (_, to) =>
    byDestination(_, to),
  );
  assert.deepEqual(steps(ourRouting(state), again), []);
});

test('a changed gateway is added before the old one goes, and rules point to no empty table', () => {
  const usable = usableAddresses(phone, everything);
  const before = wantedRouting(phone, usable, byDestination);
  const moved = phone.routes.map((one) =>
    one.gateway === '192.168.1.1' ? { ...one, gateway: '192.168.1.254' } : one,
  );
  const after = wantedRouting({ ...phone, routes: moved }, usable, byDestination);
  const done = steps(before, after).map(
    (step) => `${step.do} ${'route' in step ? step.route.gateway : 'rule'}`,
  );
  assert.deepEqual(done, ['add 192.168.1.254', 'delete 192.168.1.1']);
  const first = steps({ routes: [], rules: [] }, after).map((step) => ('route' in step ? 'route' : 'rule'));
  assert.deepEqual(first, [...first].sort());
  const last = steps(after, { routes: [], rules: [] }).map((step) => ('route' in step ? 'route' : 'rule'));
  assert.deepEqual(last, [...last].sort().reverse());
});

const addresses = (maxLength: number) => fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength });

test('an address keeps its id, across restarts too, and no two have the same', () => {
  fc.assert(
    fc.property(addresses(400), addresses(200), (ips, others) => {
      const ids = new AddressIds();
      const first = new Map(ids.assign(ips));
      for (const id of first.values()) assert.ok(id >= 1 && id <= 254);
      assert.equal(new Set(first.values()).size, first.size);
      assert.equal(first.size, Math.min(254, new Set(ips).size));
      // Others come and go: whoever stays keeps its id.
      const stay = ips.slice(0, 10);
      const later = new AddressIds(JSON.parse(JSON.stringify(ids.known()))).assign([...others, ...stay]);
      for (const ip of stay) assert.equal(later.get(ip), first.get(ip));
      for (const ip of others) assert.ok(later.has(ip));
      assert.equal(new Set(later.values()).size, later.size);
    }),
  );
  const alone = () => [...new AddressIds().assign(['192.168.1.5'])];
  assert.deepEqual(alone(), alone());
});

test('a damaged journal is moved aside with a warning; one of another boot is dropped', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'smappd-journal-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'state', 'host.json');
  new Journal(file, silent).rememberIds({ '10.0.0.1': 7 });
  assert.deepEqual(new Journal(file, silent).ids, { '10.0.0.1': 7 });
  const written = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify({ ...written, boot: 'another' }));
  assert.deepEqual(new Journal(file, silent).ids, {});
  writeFileSync(file, '{"boot":');
  const warnings: string[] = [];
  assert.deepEqual(new Journal(file, { ...silent, warn: (_, text) => warnings.push(text) }).ids, {});
  assert.equal(warnings.length, 1);
  assert.equal(readFileSync(`${file}.bad`, 'utf8'), '{"boot":');
});

function shown({ routes, rules }: Routing): string[] {
  return [
    ...routes.map(
      ({ destination, gateway, ifindex, table, metric, mtu }) =>
        `route ${destination}${gateway ? ` via ${gateway}` : ''} dev ${ifindex} table ${table - TABLES} metric ${metric}${mtu ? ` mtu ${mtu}` : ''}`,
    ),
    ...rules.map(({ source, table }) => `rule from ${source} table ${table - TABLES}`),
  ];
}
