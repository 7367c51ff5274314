/** Which app has a connection: each key, all keys together, the order, and that nothing is asked in vain. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { ConnectionFacts } from '../../agent/choice.ts';
import { chooser, type Identity } from '../../agent/policy/choose.ts';
import { parsePolicy } from '../../agent/policy.ts';
import { controllers } from '../../controllers/all.ts';

const facts: ConnectionFacts = {
  token: 1,
  side: 'client',
  local: { ip: '192.0.2.7', port: 40000 },
  remote: { ip: '198.51.100.20', port: 443 },
};
const facts6: ConnectionFacts = {
  ...facts,
  local: { ip: '2001:db8:1::7', port: 40000 },
  remote: { ip: '2001:db8:2::20', port: 8080 },
};

/** An identity that notes what it was asked. */
function identity(known: Partial<Identity>, asked: string[] = []): Identity {
  const ask =
    <T>(name: string, answer: (() => T) | undefined, otherwise: T) =>
    (): T => {
      asked.push(name);
      return answer ? answer() : otherwise;
    };
  return {
    uid: ask('uid', known.uid, undefined),
    user: ask('user', known.user, undefined),
    cgroup: ask('cgroup', known.cgroup, undefined),
    units: ask('units', known.units, []),
    exe: ask('exe', known.exe, undefined),
  };
}

const player = {
  uid: () => 1000,
  user: () => 'ada',
  cgroup: () => '/user.slice/user-1000.slice/user@1000.service/app.slice/player.service',
  units: () => ['player.service', 'app.slice', 'user@1000.service', 'user-1000.slice', 'user.slice'],
  exe: () => '/usr/bin/player',
};

async function choose(apps: object[], who: Identity, about: ConnectionFacts = facts) {
  const text = JSON.stringify({
    apps: apps.map((match, index) => ({ name: `app${index}`, match, controller: 'single' })),
    default: { controller: 'ndiffports' },
  });
  return chooser(await parsePolicy(text, 'p.json', { controllers, uid: 0 }), () => who)(about);
}

const rows: [what: string, match: object, holds: boolean, about?: ConnectionFacts][] = [
  ['side', { side: 'client' }, true],
  ['the other side', { side: 'server' }, false],
  ['a port', { remotePort: 443 }, true],
  ['one of several ports', { remotePort: [80, 443] }, true],
  ['another port', { remotePort: 80 }, false],
  ['the last port of a range', { localPort: '30000-40000' }, true],
  ['a range beside it', { localPort: '40001-50000' }, false],
  ['an address', { remoteAddress: '198.51.100.20' }, true],
  ['a network', { remoteAddress: ['10.0.0.0/8', '198.51.100.0/24'] }, true],
  ['another network', { localAddress: '198.51.100.0/24' }, false],
  ['an IPv6 network', { remoteAddress: '2001:db8:2::/48' }, true, facts6],
  ['an IPv6 network, another', { remoteAddress: '2001:db8:3::/48' }, false, facts6],
  ['all of IPv4, asked of IPv6', { remoteAddress: '0.0.0.0/0' }, false, facts6],
  ['all of both', { localAddress: ['0.0.0.0/0', '::/0'] }, true, facts6],
  ['a user by name', { user: 'ada' }, true],
  ['a user by number', { user: '1000' }, true],
  ['another user', { user: ['bob', '1001'] }, false],
  ['a control group by path', { cgroup: player.cgroup() }, true],
  ['a control group above', { cgroup: '/user.slice' }, true],
  ['a control group whose name only begins alike', { cgroup: '/user' }, false],
  ['a control group by pattern', { cgroup: '/user.slice/*/app.slice' }, true],
  ['a unit', { unit: 'player.service' }, true],
  ['a unit above', { unit: 'user@1000.service' }, true],
  ['a unit by pattern', { unit: 'play*.service' }, true],
  ['another unit', { unit: 'ssh.service' }, false],
  ['a program', { exe: ['/usr/bin/ssh', '/usr/bin/player'] }, true],
  ['a program by pattern', { exe: '/usr/*/player' }, true],
  ['a program whose dots are no wildcards', { exe: '/usr/bin/p.ayer' }, false],
  ['all keys given', { exe: '/usr/bin/player', user: 'ada', remotePort: 443, side: 'client' }, true],
  ['all keys but one', { exe: '/usr/bin/player', user: 'ada', remotePort: 80, side: 'client' }, false],
];

for (const [what, match, holds, about] of rows) {
  test(`${holds ? 'matches' : 'does not match'} by ${what}`, async () => {
    const { app } = await choose([match], identity(player), about);
    assert.equal(app, holds ? 'app0' : '');
  });
}

test('the first app that matches has the connection, and the reason names what matched', async () => {
  const { app, controller, why } = await choose(
    [{ remotePort: 80 }, { user: 'ada', remotePort: 443 }, { remotePort: 443 }],
    identity(player),
  );
  assert.equal(app, 'app1');
  assert.equal(controller.name, 'single');
  assert.equal(why, 'app "app1" matches by remotePort 443, user ada');
});

test('without a match the default has it, and the reason names what each app failed by', async () => {
  const { app, controller, why } = await choose([{ remotePort: 80 }, { exe: '/x' }], identity(player));
  assert.equal(app, '');
  assert.equal(controller.name, 'ndiffports');
  assert.equal(why, 'the default, no app matches: not "app0" by remotePort, not "app1" by exe');
  assert.equal((await choose([], identity(player))).why, 'the default, the policy has no apps');
});

test('what is not known does not match', async () => {
  const { app } = await choose([{ user: '*' }, { cgroup: '/' }, { unit: '*' }, { exe: '*' }], identity({}));
  assert.equal(app, '');
});

test('nobody is asked for what no rule needs', async () => {
  const asked: string[] = [];
  await choose([{ remotePort: 80, exe: '/usr/bin/player' }, { side: 'client' }], identity(player, asked));
  assert.deepEqual(asked, []);
  await choose([{ exe: '/usr/bin/other', user: 'ada' }], identity(player, asked));
  assert.deepEqual(asked, ['uid', 'user', 'exe']);
});
