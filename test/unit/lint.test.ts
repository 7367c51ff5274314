/** Lint is a test, so that one command tells whether a change is fit. Both tools work offline, in seconds. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';

for (const [tool, ...args] of [
  ['biome', 'check', '--error-on-warnings', '--colors=off'],
  ['knip', '--no-progress'],
]) {
  test(`${tool} finds nothing to complain about`, () => {
    const { status, stdout, stderr, error } = spawnSync(`node_modules/.bin/${tool}`, args, {
      encoding: 'utf8',
    });
    assert.ifError(error);
    assert.equal(status, 0, `${stdout}${stderr}`);
  });
}
