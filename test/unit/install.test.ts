/** smappctl install and uninstall below a folder of the test's. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { commands } from '../../agent/cli/table.ts';
import { run } from '../sim/control.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'smappd-install-'));
  mkdirSync(join(root, 'etc'));
});
afterEach(() => rmSync(root, { recursive: true }));

const smappctl = async (...args: string[]) => {
  const ran = await run([...args, '--root', root, '--json'], commands);
  assert.equal(ran.status, 0, ran.out);
  return JSON.parse(ran.out);
};
const everything = (): string[] => readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();

test('what was installed runs, and uninstall takes exactly that away', async () => {
  writeFileSync(join(root, 'etc/theirs'), 'precious');
  const before = everything();
  const umask = process.umask(0o077); // must not keep the service out, which is not root
  await smappctl('install').finally(() => process.umask(umask));
  const cli = join(root, 'usr/local/lib/smappd/dist/agent/cli.js');
  assert.match(
    execFileSync(process.execPath, [cli, '--help'], { encoding: 'utf8' }),
    /smappctl shows and steers/,
  );
  assert.match(
    readFileSync(join(root, 'usr/local/bin/smappd'), 'utf8'),
    /^#!\/bin\/sh\nexec \/usr\/bin\/node \/usr\/local\/lib\/smappd\/dist\/agent\/main\.js "\$@"\n$/,
  );
  assert.equal(statSync(join(root, 'usr/local/bin/smappctl')).mode & 0o777, 0o755);
  const unit = readFileSync(join(root, 'usr/local/lib/systemd/system/smappd.service'), 'utf8');
  assert.match(unit, /^ExecStart=\/usr\/local\/bin\/smappd /m);
  assert.ok(!unit.includes('@PREFIX@'));
  assert.ok(!existsSync(join(root, 'usr/local/lib/smappd/node_modules/typescript')));
  for (const name of everything().filter((path) => /^(usr\/local\/|etc\/smappd)/.test(path))) {
    assert.ok(statSync(join(root, name)).mode & 0o004, `${name} can be read by all`);
  }
  assert.deepEqual((await smappctl('uninstall')).kept, []);
  assert.deepEqual(everything(), before);
});

test('a policy that was changed survives an upgrade and the removal', async () => {
  const policy = join(root, 'etc/smappd/policy.json');
  await smappctl('install');
  appendFileSync(policy, '\n');
  await smappctl('install');
  assert.match(readFileSync(policy, 'utf8'), /\n\n$/);
  assert.deepEqual((await smappctl('uninstall')).kept, ['/etc/smappd/policy.json']);
  assert.deepEqual(everything(), ['etc', 'etc/smappd', 'etc/smappd/policy.json']);
});

test('another prefix is written into the programs; what was changed goes too when purged', async () => {
  await smappctl('install', '--prefix', '/opt/smapp');
  assert.match(readFileSync(join(root, 'opt/smapp/bin/smappctl'), 'utf8'), /\/opt\/smapp\/lib\/smappd\//);
  appendFileSync(join(root, 'etc/smappd/policy.json'), '\n');
  await smappctl('uninstall', '--prefix', '/opt/smapp', '--purge');
  assert.deepEqual(everything(), ['etc']);
});

test('nothing installed: says so', async () => {
  const { status, err } = await run(['uninstall', '--root', root], commands);
  assert.equal(status, 1);
  assert.match(err, /installed\.json is missing: nothing was installed under \/usr\/local/);
});

for (const [args, message] of [
  [['install', '--prefix', 'here'], /give an absolute path/],
  [['install', '--prefix', '/a b', '--root', '/nowhere'], /blanks/],
] as const) {
  test(`smappctl ${args.join(' ')} is refused`, async () => {
    const { status, err } = await run(args, commands);
    assert.equal(status, 2);
    assert.match(err, message);
  });
}
