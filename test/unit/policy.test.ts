/** The policy file: what it means, and what is said about a bad one. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { hostSettings } from '../../agent/policy/host.ts';
import { interfaceUse } from '../../agent/policy/interfaces.ts';
import { type Policy, PolicyError, parsePolicy } from '../../agent/policy.ts';
import { controllers } from '../../controllers/all.ts';

const parse = (text: string): Promise<Policy> => parsePolicy(text, 'p.json', { controllers, uid: 0 });

async function complaints(text: string): Promise<string[]> {
  try {
    await parse(text);
  } catch (error) {
    assert(error instanceof PolicyError, String(error));
    return error.message.split('\n');
  }
  return [];
}

const app = (match: string, rest = ''): string =>
  `{"apps": [{"name": "a", "match": ${match}, "controller": "single"${rest}}]}`;

const bad: [what: string, text: string, ...lines: (string | RegExp)[]][] = [
  ['an empty file', '', 'p.json:1:1: /: a value is missing here'],
  ['no object', '[]', 'p.json:1:1: /: `[]` must be an object'],
  ['a comment', '{\n  // why\n}', 'p.json:2:3: /: comments are not part of JSON: delete it'],
  ['a comma too many', '{"routing": true,\n}', 'p.json:2:1: /: no key after this comma: delete the comma'],
  ['a comma too few', '{"routing": true\n "admin": []}', 'p.json:2:2: /: a comma is missing before this'],
  ['single quotes', "{'routing': true}", /^p.json:1:2: \/: `'routing'` is not JSON: texts stand in double/],
  ['an object that is not closed', '{"ignore": {', /^p.json:1:13: \/: the file ends before a `}`/],
  ['more after the end', '{}\n{}', 'p.json:2:1: /: the policy has ended before this: delete the rest'],
  [
    'a key twice',
    '{"routing": true,\n "routing": false}',
    'p.json:2:2: /routing: the key `routing` stands here a second time: delete one of the two',
  ],
  [
    'a misspelt section',
    '{\n  "interface": {}\n}',
    'p.json:2:3: /interface: unknown key `interface`, did you mean `interfaces`?',
  ],
  [
    'a misspelt key of an app, and not also that the right one is missing',
    '{"apps": [\n  {"name": "a", "match": {"side": "client"}, "contoller": "single"}\n]}',
    'p.json:2:46: /apps/0/contoller: unknown key `contoller`, did you mean `controller`?',
  ],
  [
    'a missing key',
    '{"apps": [\n  {"name": "a", "match": {"side": "client"}}\n]}',
    'p.json:2:3: /apps/0: the key `controller` is missing here',
  ],
  [
    'a key that resembles none',
    app('{"colour": "red"}'),
    /\/apps\/0\/match\/colour: unknown key `colour`; known: side, localPort, .*, exe$/,
  ],
  ['a match without keys', app('{}'), /\/apps\/0\/match: at least one key is needed; known: side, /],
  [
    'a misspelt controller',
    '{"default": {"controller": "fulmesh"}}',
    'p.json:1:28: /default/controller: unknown value `"fulmesh"`, did you mean `fullmesh`?, or the absolute path of a .js file',
  ],
  [
    'a misspelt parameter',
    '{"default": {"controller": "ndiffports", "params": {"subflow": 3}}}',
    'p.json:1:53: /default/params/subflow: unknown key `subflow`, did you mean `subflows`?',
  ],
  [
    'a parameter of another controller',
    app('{"side": "client"}', ', "params": {"subflows": 3}'),
    /\/apps\/0\/params\/subflows: unknown key `subflows`; known: retry$/,
  ],
  [
    'a duration without a unit',
    '{"openDeadline": "5"}',
    'p.json:1:18: /openDeadline: `"5"` is not well formed; for example "5s"',
  ],
  [
    'a number for a text',
    app('{"exe": 7}'),
    /\/exe: `7` must be a string or an array; for example "\/usr\/bin\/ssh"$/,
  ],
  [
    'a program without its path',
    app('{"exe": "ssh"}'),
    /`"ssh"` is not well formed; for example "\/usr\/bin\/ssh"$/,
  ],
  ['a port out of range', app('{"remotePort": 70000}'), /\/remotePort: `70000` must be <= 65535$/],
  [
    'a port range that ends early',
    app('{"remotePort": ["90-80"]}'),
    /\/remotePort\/0: `"90-80"` is not well formed/,
  ],
  [
    'no network',
    app('{"remoteAddress": "10.0.0.0/33"}'),
    /`"10.0.0.0\/33"` is not well formed; for example "10.0.0.0\/8"$/,
  ],
  ['no side', app('{"side": "sever"}'), /\/side: unknown value `"sever"`, did you mean `server`\?$/],
  ['no list', app('{"user": []}'), /\/user: at least one value is needed; for example "backup"$/],
  [
    'no interface name',
    '{"interfaces": {"a/b": {}}}',
    /:1:17: \/interfaces\/a~1b: `a\/b` is no interface name; for example "wlan0"$/,
  ],
  [
    'a misspelt role',
    '{"interfaces": {"wlan0": {"role": "bakcup"}}}',
    /\/interfaces\/wlan0\/role: .*did you mean `backup`\?$/,
  ],
  [
    'a converter without a port',
    app('{"side": "client"}', ', "via": "host"'),
    /\/via: `"host"` is not well formed/,
  ],
  [
    'two apps of one name',
    `{"apps": [{"name": "a", "match": {"user": "x"}, "controller": "single"},
      {"name": "a", "match": {"user": "y"}, "controller": "single"}]}`,
    'p.json:2:16: /apps/1/name: another app before this one is called `a` too: rename one',
  ],
  [
    'several problems, in the order of the file',
    '{"routing": 1,\n"admin": "root",\n"sampleEvery": "soon"}',
    /^p.json:1:13: \/routing/,
    /^p.json:2:10: \/admin/,
    /^p.json:3:16: \/sampleEvery/,
  ],
];

for (const [what, text, ...expected] of bad) {
  test(`refused: ${what}`, async () => {
    const lines = await complaints(text);
    assert.equal(lines.length, expected.length, lines.join('\n'));
    expected.forEach((line, index) => {
      if (typeof line === 'string') assert.equal(lines[index], line);
      else assert.match(lines[index]!, line);
    });
  });
}

test('a policy without sections has every default', async () => {
  const { default: fallback, converter, ...rest } = await parse('{}');
  assert.equal(converter.explicit.listen.length, 0, 'no converter unless asked for');
  assert.equal(fallback.controller.name, 'fullmesh');
  assert.deepEqual(Object.keys(fallback.params), Object.keys(fallback.controller.params));
  assert.deepEqual(rest, {
    interfaces: undefined,
    apps: [],
    routing: true,
    ignore: { linkLocal: true, temporary: true, addresses: [] },
    openDeadline: 5000,
    sampleEvery: 100,
    eventBuffer: 16 << 20,
    admin: [],
  });
});

test('values arrive parsed: durations in milliseconds, parameters complete, ports as ranges', async () => {
  const policy = await parse(
    `{"openDeadline": "250ms", "apps": [{"name": "a", "match": {"remotePort": [443, "8000-8999"]},
      "controller": "backup", "params": {"rtoLimit": "2s"}, "via": "[2001:db8::1]:5124", "mptcp": true}]}`,
  );
  assert.equal(policy.openDeadline, 250);
  const [first] = policy.apps;
  assert.equal(first?.params['rtoLimit'], 2000);
  assert.equal(first?.params['probes'], first?.controller.params['probes']?.fallback);
  assert.deepEqual(first?.match.remotePort, [
    { first: 443, last: 443 },
    { first: 8000, last: 8999 },
  ]);
  assert.equal(first?.match.exe, undefined);
  assert.equal(first?.via, '[2001:db8::1]:5124');
  assert.equal(first?.mptcp, true);
});

test('interfaces are an allowlist in which an exact name goes before patterns', async () => {
  const { interfaces } = await parse(
    `{"interfaces": {"wlan*": {"metered": true}, "w*": {"role": "backup"}, "wlan9": {"role": "ignore"}}}`,
  );
  assert.deepEqual(
    ['wlan0', 'wwan0', 'wlan9', 'docker0'].map((name) => interfaceUse(interfaces, name).role),
    ['primary', 'backup', 'ignore', 'ignore'],
  );
  assert.equal(interfaceUse(interfaces, 'wlan0').metered, true);
  assert.equal(interfaceUse(undefined, 'docker0').role, 'primary');
  assert.equal(interfaceUse(undefined, 'lo').role, 'ignore');
  assert.equal(interfaceUse([], 'eth0').role, 'ignore');
});

test('local addresses to ignore: networks of both families', async () => {
  const { addresses, sourceRouting } = hostSettings(
    await parse(
      `{"routing": false, "ignore": {"linkLocal": false, "addresses": ["10.0.0.0/8", "fd00::/8"]}}`,
    ),
  );
  assert.equal(sourceRouting, false);
  assert.equal(addresses.linkLocal, true);
  assert.equal(addresses.temporary, false);
  assert.deepEqual(
    ['10.1.2.3', '192.0.2.1', 'fd12::1', '2001:db8::1'].map((ip) => addresses.ignored(ip)),
    [true, false, true, false],
  );
});

test('whatever stands in a policy, it is taken or refused with a place in the file', async () => {
  const anything = fc.jsonValue({ maxDepth: 3 });
  const app = fc.record(
    { name: anything, match: anything, controller: anything, params: anything },
    { requiredKeys: [] },
  );
  const sections = Object.fromEntries(Object.keys(await parse('{}')).map((name) => [name, anything]));
  const policy = fc.record({ ...sections, apps: fc.oneof(anything, fc.array(app)) }, { requiredKeys: [] });
  await fc.assert(
    fc.asyncProperty(fc.oneof(policy, anything), fc.nat(), async (value, cut) => {
      const text = JSON.stringify(value, null, 1);
      for (const given of [text, text.slice(0, cut % (text.length + 1))]) {
        for (const line of await complaints(given)) assert.match(line, /^p\.json:\d+:\d+: \/.*: ./s);
      }
    }),
    { numRuns: 50 },
  );
});
