/** `smappd --check`: what scripts and editors read. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

function check(...args: string[]) {
  const program = new URL('../../agent/main.js', import.meta.url).pathname;
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, '--check', ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

test('a good policy exits with 0', () => {
  const good = { status: 0, stdout: 'policies/phone.json: good\n', stderr: '' };
  assert.deepEqual(check('policies/phone.json'), good);
  assert.deepEqual(check('--policy', 'policies/phone.json'), good);
});

test('a bad policy exits with 1 and a line for each problem, the place first', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'smappd-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'policy.json');
  writeFileSync(file, '{\n  "routing": 1,\n  "default": { "contoller": "backup" }\n}\n');
  assert.deepEqual(check(file), {
    status: 1,
    stdout:
      `${file}:2:14: /routing: \`1\` must be a boolean; for example true\n` +
      `${file}:3:16: /default/contoller: unknown key \`contoller\`, did you mean \`controller\`?\n`,
    stderr: '',
  });
});
