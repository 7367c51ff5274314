/** The doctor's findings about hosts that a test makes up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StatusJson } from '../../agent/control/daemon.ts';
import { capabilities, daemon, effects, policyFile, rivals, timeouts } from '../../agent/doctor/daemon.ts';
import type { Check, Patient } from '../../agent/doctor/finding.ts';
import { counters, fallback, mptcp, pathManager, usage } from '../../agent/doctor/kernel.ts';
import { routing } from '../../agent/doctor/routing.ts';
import type { HostState } from '../../agent/host/kernel.ts';
import { parsePolicy } from '../../agent/policy.ts';
import { controllers } from '../../controllers/all.ts';

const MPTCP = '/proc/sys/net/mptcp';
const reader = { controllers, uid: 0 };
const plain = await parsePolicy('{ "default": { "controller": "backup" } }', 'test', reader);

const RUNNING: StatusJson = {
  version: '1.0.0',
  pid: 77,
  since: '',
  kernel: '',
  policy: { file: '/etc/smappd/policy.json', loaded: '' },
  connections: 3,
  subflows: 4,
  uncommanded: 0,
  events: 0,
  resyncs: 0,
  commands: { done: 0, failed: 0 },
  timeouts: 'eBPF (sockops)',
  problems: [],
  controllers: {},
  locals: [],
};

const STATE: HostState = {
  links: [
    { ifindex: 2, ifname: 'wlan0', up: true, carrier: true, loopback: false },
    { ifindex: 3, ifname: 'wwan0', up: true, carrier: true, loopback: false },
  ],
  addresses: [
    { family: 4, ip: '10.0.0.2', ifindex: 2, tentative: false, deprecated: false, temporary: false },
    { family: 4, ip: '10.9.0.2', ifindex: 3, tentative: false, deprecated: false, temporary: false },
  ],
  routes: [2, 3].map((ifindex) => ({
    family: 4,
    table: 254,
    destination: '0.0.0.0/0',
    ifindex,
    gateway: '10.0.0.1',
    metric: ifindex,
    onlink: false,
    mtu: undefined,
    protocol: 3,
  })),
  rules: [],
};

/** A healthy host, but for what is given. */
function patient(files: Record<string, string> = {}, more: Partial<Patient> = {}): Patient {
  const healthy: Record<string, string> = {
    [`${MPTCP}/enabled`]: '1',
    [`${MPTCP}/pm_type`]: more.status ? '1' : '0',
    [`${MPTCP}/blackhole_timeout`]: '3600',
    [`${MPTCP}/syn_retrans_before_tcp_fallback`]: '2',
    '/proc/self/status': 'CapEff:\t000001ffffffffff',
    '/proc/77/status': 'Name:\tnode\nCapEff:\t000000c000081004\n',
    ...files,
  };
  return {
    read: (path) => healthy[path] || undefined,
    programs: () => ['systemd', 'node'],
    network: { read: () => STATE, routeOf: (source) => (source === '10.0.0.2' ? 2 : 3) },
    uid: 0,
    status: undefined,
    unreachable: 'smappd does not run',
    policy: plain,
    policyFile: '/etc/smappd/policy.json',
    policyErrors: [],
    ...more,
  };
}

const netstat = (values: Record<string, number>): Record<string, string> => ({
  '/proc/net/netstat': [
    'TcpExt: SyncookiesSent',
    'TcpExt: 7',
    `MPTcpExt: ${Object.keys(values).join(' ')}`,
    `MPTcpExt: ${Object.values(values).join(' ')}`,
  ].join('\n'),
});

const levels = (check: Check, on: Patient): string[] => check(on).map(({ level }) => level);

const cases: [string, Check, Patient, string[], RegExp?][] = [
  ['MPTCP on', mptcp, patient(), ['ok']],
  [
    'MPTCP off',
    mptcp,
    patient({ [`${MPTCP}/enabled`]: '0' }),
    ['problem'],
    /sysctl -w net\.mptcp\.enabled=1/,
  ],
  ['no MPTCP', mptcp, patient({ [`${MPTCP}/enabled`]: '' }), ['problem'], /CONFIG_MPTCP/],
  ['a kernel of 2021', pathManager, patient({ [`${MPTCP}/pm_type`]: '' }), ['problem'], /5\.19/],
  ['no daemon, in-kernel manager', pathManager, patient(), ['note']],
  [
    'no daemon, userspace manager',
    pathManager,
    patient({ [`${MPTCP}/pm_type`]: '1' }),
    ['problem'],
    /pm_type=0/,
  ],
  ['daemon, userspace manager', pathManager, patient({}, { status: RUNNING }), ['ok']],
  [
    'daemon, and pm_type was set back',
    pathManager,
    patient({ [`${MPTCP}/pm_type`]: '0' }, { status: RUNNING }),
    ['problem'],
    /sysctl\.d/,
  ],
  ['no blackhole seen', fallback, patient(), ['ok']],
  [
    'MPTCP paused after lost SYNs',
    fallback,
    patient(netstat({ Blackhole: 2, MPCapableSYNTXDisabled: 40 })),
    ['problem'],
    /40 so far.*2 times/,
  ],
  [
    'MPTCP unused',
    usage,
    patient(netstat({ MPCapableSYNTX: 0, MPCapableACKRX: 0 })),
    ['note'],
    /smappctl run/,
  ],
  ['MPTCP used', usage, patient(netstat({ MPCapableSYNTX: 9, MPCapableSYNACKRX: 4 })), ['ok']],
  [
    'MPTCP never answered',
    usage,
    patient(netstat({ MPCapableSYNTX: 9, MPCapableSYNACKRX: 0 })),
    ['ok', 'note'],
    /converter/,
  ],
  ['no daemon', daemon, patient(), ['note'], /does not run/],
  ['a daemon', daemon, patient({}, { status: RUNNING }), ['ok']],
  [
    'a daemon whose commands fail',
    daemon,
    patient({}, { status: { ...RUNNING, commands: { done: 1, failed: 50 } } }),
    ['ok', 'note'],
    /explain/,
  ],
  ['no other path manager', rivals, patient(), []],
  ['mptcpd', rivals, patient({}, { programs: () => ['mptcpd'] }), ['problem'], /disable --now mptcp/],
  ['eBPF', timeouts, patient({}, { status: RUNNING }), ['ok']],
  [
    'sampling',
    timeouts,
    patient({}, { status: { ...RUNNING, timeouts: 'sampling every 100 ms' } }),
    ['note'],
    /CAP_BPF/,
  ],
  ['a policy that has its effect', effects, patient({}, { status: RUNNING }), []],
  [
    'a switch that the kernel does not have',
    effects,
    patient({}, { status: { ...RUNNING, problems: ['"mptcp" of app "player" has no effect'] } }),
    ['note'],
    /player/,
  ],
  ['root, no daemon', capabilities, patient(), ['ok']],
  ['the unit, all it needs', capabilities, patient({}, { status: RUNNING }), ['ok']],
  [
    'a daemon without CAP_NET_ADMIN',
    capabilities,
    patient({ '/proc/77/status': 'CapEff:\t000000c000000000' }, { status: RUNNING }),
    ['problem'],
    /lacks CAP_NET_ADMIN/,
  ],
  [
    'a daemon without BPF',
    capabilities,
    patient({ '/proc/77/status': 'CapEff:\t0000000000001000' }, { status: RUNNING }),
    ['note'],
    /CAP_BPF, CAP_PERFMON/,
  ],
  ['a valid policy', policyFile, patient(), ['ok']],
  [
    'a bad policy',
    policyFile,
    patient({}, { policy: undefined, policyErrors: ['p.json:2:3: /apps: bad'] }),
    ['problem'],
    /p\.json:2:3: \/apps: bad/,
  ],
  ['each address by its own link', routing, patient(), ['ok', 'ok']],
  [
    'all by one link, smappd not there yet',
    routing,
    patient({}, { network: { read: () => STATE, routeOf: () => 2 } }),
    ['ok', 'note'],
    /10\.9\.0\.2 \(wwan0\) leaves by wlan0; smappd sets/,
  ],
  [
    'all by one link although smappd runs',
    routing,
    patient({}, { status: RUNNING, network: { read: () => STATE, routeOf: () => 2 } }),
    ['ok', 'problem'],
    /although smappd routes by source/,
  ],
  [
    'strict reverse path filter on a wrong link',
    routing,
    patient(
      { '/proc/sys/net/ipv4/conf/all/rp_filter': '1' },
      { network: { read: () => STATE, routeOf: () => 2 } },
    ),
    ['ok', 'note', 'note'],
    /wwan0\.rp_filter=2/,
  ],
  [
    'one link',
    routing,
    patient(
      {},
      { network: { read: () => ({ ...STATE, addresses: STATE.addresses.slice(0, 1) }), routeOf: () => 2 } },
    ),
    ['note', 'ok'],
    /no second path/,
  ],
  [
    'no link',
    routing,
    patient({}, { network: { read: () => ({ ...STATE, addresses: [] }), routeOf: () => undefined } }),
    ['problem'],
    /no address of this host/,
  ],
];

for (const [name, check, on, wanted, says] of cases) {
  test(`${name}: ${wanted.join(', ')}`, () => {
    assert.deepEqual(levels(check, on), wanted);
    if (says)
      assert.match(
        check(on)
          .map(({ message, remedy }) => `${message} -> ${remedy}`)
          .join('\n'),
        says,
      );
  });
}

test('matching by program needs to see the programs of others', async () => {
  const policy = await parsePolicy(
    '{ "apps": [{ "name": "ssh", "match": { "exe": "/usr/bin/ssh" }, "controller": "backup" }] }',
    'test',
    reader,
  );
  const without = { '/proc/77/status': 'CapEff:\t000000c000001000' };
  const [finding] = capabilities(patient(without, { policy, status: RUNNING }));
  assert.equal(finding?.level, 'problem');
  assert.match(finding.message, /CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH/);
});

test('a host without MPTcpExt counters has none', () => {
  assert.equal(counters(patient()).size, 0);
});

test('every problem says what to do', () => {
  for (const [name, check, on] of cases) {
    for (const { level, remedy } of check(on)) if (level === 'problem') assert.ok(remedy, name);
  }
});
