/** A policy file that changes: what is good comes into force, what is bad changes nothing and is reported. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { machineClock } from '../../agent/clock.ts';
import { PolicyFile } from '../../agent/policy/reload.ts';
import { controllers } from '../../controllers/all.ts';

const deadline = (value: string): string => `{"openDeadline": "${value}"}`;

/** A file, what was applied of it, and what was logged. `next` waits for the next of these. */
function makeFile(t: TestContext, write: (file: string, folder: string) => void) {
  const folder = mkdtempSync(join(tmpdir(), 'smappd-test-'));
  const file = join(folder, 'policy.json');
  write(file, folder);
  const seen: (number | string)[] = [];
  let wake = (): void => {};
  const see = (what: number | string): void => {
    seen.push(what);
    wake();
  };
  const log = { info: () => {}, error: (_: object, text: string) => see(text) };
  const ports = { reader: { controllers, uid: 0 }, clock: machineClock, log };
  const policyFile = new PolicyFile(file, ports, (policy) => see(policy.openDeadline));
  // What holds the process while everything else here does not.
  const guard = setInterval(() => {}, 1000);
  t.after(() => {
    clearInterval(guard);
    policyFile.close();
    rmSync(folder, { recursive: true });
  });
  const next = async (): Promise<number | string> => {
    if (seen.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return seen.shift()!;
  };
  return { file, folder, policyFile, seen, next };
}

test('reload brings a good file into force and reports a bad one', async (t) => {
  const { file, policyFile, seen } = makeFile(t, (file) => writeFileSync(file, deadline('1s')));
  assert.equal((await policyFile.load()).openDeadline, 1000);
  writeFileSync(file, deadline('2s'));
  assert.equal(await policyFile.reload('test'), undefined);
  writeFileSync(file, deadline('soon'));
  assert.match(String((await policyFile.reload('test'))?.message), /policy\.json:1:18: \/openDeadline: /);
  assert.match(String(policyFile.error?.message), /\/openDeadline: /);
  unlinkSync(file);
  assert.match(
    String((await policyFile.reload('test'))?.message),
    /policy\.json:1:1: \/: cannot be read: ENOENT/,
  );
  assert.equal(seen[0], 2000);
  assert.match(String(seen[1]), /^policy not reloaded, the old one stays: .*`"soon"` is not well formed/);
  assert.equal(seen.length, 3);
});

test('reloads that come at once run one after the other', async (t) => {
  const { policyFile, seen } = makeFile(t, (file) => writeFileSync(file, deadline('1s')));
  await Promise.all([1, 2, 3].map(() => policyFile.reload('test')));
  assert.deepEqual(seen, [1000, 1000, 1000]);
});

test('a change is noticed: written in place, replaced by a rename, deleted and made again', async (t) => {
  const { file, folder, policyFile, next, seen } = makeFile(t, (file) => writeFileSync(file, deadline('1s')));
  await policyFile.load();
  policyFile.watch();
  writeFileSync(file, deadline('2s'));
  assert.equal(await next(), 2000);
  writeFileSync(join(folder, 'new'), deadline('3s'));
  renameSync(join(folder, 'new'), file);
  assert.equal(await next(), 3000);
  writeFileSync(file, '{');
  assert.match(String(await next()), /^policy not reloaded/);
  unlinkSync(file);
  assert.match(String(await next()), /cannot be read/);
  writeFileSync(file, deadline('4s'));
  assert.equal(await next(), 4000);
  assert.deepEqual(seen, []);
});

test('a change is noticed behind a symbolic link, and of the link', async (t) => {
  const { folder, policyFile, next } = makeFile(t, (file, folder) => {
    for (const [name, value] of [
      ['one', '1s'],
      ['two', '2s'],
    ] as const) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'real.json'), deadline(value));
    }
    symlinkSync(join(folder, 'one/real.json'), file);
  });
  await policyFile.load();
  policyFile.watch();
  writeFileSync(join(folder, 'one/real.json'), deadline('3s'));
  assert.equal(await next(), 3000);
  symlinkSync(join(folder, 'two/real.json'), join(folder, 'new'));
  renameSync(join(folder, 'new'), join(folder, 'policy.json'));
  assert.equal(await next(), 2000);
  writeFileSync(join(folder, 'two/real.json'), deadline('4s'));
  assert.equal(await next(), 4000);
});
