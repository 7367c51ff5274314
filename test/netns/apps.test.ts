/**
 * Whose is a connection? Real applications with MPTCP connections, each with its own user, control group
 * and program, judged from both sides by policies of one key each.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Applications } from './application.ts';
import type { Judgement } from './judge.ts';
import { makeNetwork, type Namespace, type Network } from './namespaces.ts';

const unit = (name: string): string => `smappd-test-${process.pid}-${name}.service`;
/** A user that Debian always has. */
const USER = { name: 'daemon', uid: 1 };

let applications: Applications;
let network: Network;

before(async () => {
  applications = new Applications('web', 'player');
  network = makeNetwork({ paths: 1 });
  const { client, server, paths } = network;
  const { ip4, ip6 } = paths[0]!.server;
  const web = { program: 'web', group: unit('web') };
  const busy = { program: 'player', group: unit('busy'), uid: USER.uid };
  const player = { program: 'player', group: unit('player'), uid: USER.uid };
  await applications.start(server, web, 'server', '8000');
  await applications.start(server, busy, 'backlog', '8001');
  await applications.start(client, player, 'client', ip4, '8000', '4004');
  await applications.start(client, player, 'client', ip6, '8000', '4006');
  await applications.start(client, player, 'client', ip4, '8001', '4104');
  // In no group of its own and with the other program's name: what must not match.
  await applications.start(client, { program: 'web' }, 'client', ip4, '8000', '4040');
});

after(() => {
  network?.remove();
  applications?.remove();
});

/** Judges every connection of a namespace by policies that have these matches, one each. */
function judge(where: Namespace, side: 'client' | 'server', matches: object[]): Judgement[] {
  const program = new URL('./judge.js', import.meta.url).pathname;
  return JSON.parse(where.run(process.execPath, program, side, JSON.stringify(matches)));
}

test('a connection that is not accepted yet is that of the listener', () => {
  const matches = [
    { exe: applications.path('player') },
    { unit: unit('busy') },
    { user: USER.name },
    { user: 'root' },
    { unit: unit('web') },
  ];
  const waiting = judge(network.server, 'server', matches).find(({ clientPort }) => clientPort === 4104);
  assert.deepEqual(waiting?.matched, [true, true, true, false, false], waiting?.why.join('\n'));
});

/** Ports on the client's side of the connections that match. */
const rows: [match: () => object, client: number[], server: number[]][] = [
  [() => ({ exe: applications.path('player') }), [4004, 4006], []],
  [() => ({ exe: applications.path('web') }), [4040], [4004, 4006, 4040]],
  [() => ({ exe: applications.path('*') }), [4004, 4006, 4040], [4004, 4006, 4040]],
  [() => ({ unit: unit('player') }), [4004, 4006], []],
  [() => ({ unit: unit('web') }), [], [4004, 4006, 4040]],
  [() => ({ unit: 'none.service' }), [], []],
  [() => ({ cgroup: `/${unit('player')}` }), [4004, 4006], []],
  [() => ({ cgroup: `/smappd-test-${process.pid}-*` }), [4004, 4006], [4004, 4006, 4040]],
  [() => ({ cgroup: '/' }), [4004, 4006, 4040], [4004, 4006, 4040]],
  [() => ({ user: USER.name }), [4004, 4006], []],
  [() => ({ user: String(USER.uid) }), [4004, 4006], []],
  [() => ({ user: 'root' }), [4040], [4004, 4006, 4040]],
  [() => ({ localAddress: '10.0.1.2' }), [4004, 4040], []],
  [() => ({ localAddress: '2001:db8:0:1::/64' }), [4006], [4006]],
  [() => ({ localPort: 4004 }), [4004], []],
  [() => ({ localPort: '7000-8000' }), [], [4004, 4006, 4040]],
  [() => ({ remoteAddress: '10.0.0.0/16' }), [4004, 4040], [4004, 4040]],
  [() => ({ remoteAddress: '2001:db8::/32' }), [4006], [4006]],
  [() => ({ remotePort: [8000, 4006] }), [4004, 4006, 4040], [4006]],
  [() => ({ side: 'client' }), [4004, 4006, 4040], []],
  [() => ({ side: 'server' }), [], [4004, 4006, 4040]],
  [
    () => ({
      exe: applications.path('player'),
      user: USER.name,
      unit: unit('player'),
      remoteAddress: '::/0',
    }),
    [4006],
    [],
  ],
];

for (const side of ['client', 'server'] as const) {
  test(`the ${side}'s connections match by each key`, () => {
    const matches = rows.map(([match]) => match());
    const judged = judge(network[side], side, matches).filter(({ clientPort }) => clientPort !== 4104);
    assert.deepEqual(judged.map(({ clientPort }) => clientPort).sort(), [4004, 4006, 4040]);
    rows.forEach(([match, ...expected], index) => {
      const holds = judged.filter(({ matched }) => matched[index]).map(({ clientPort }) => clientPort);
      assert.deepEqual(holds.sort(), expected[side === 'client' ? 0 : 1], JSON.stringify(match()));
    });
  });
}
