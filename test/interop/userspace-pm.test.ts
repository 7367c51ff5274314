/** Upstream's own test of userspace path managers, driving our codecs and transport on this machine's kernel. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { makeSelftests } from './selftests.ts';

const run = promisify(execFile);
/** As many as Linux 6.12's script makes on a kernel that has all features. */
const CHECKS = 37;
/** The script waits fixed times (`sleep 0.5`) for what a busy machine may take longer to do. */
const ATTEMPTS = 3;

test("upstream's userspace_pm.sh: all checks pass with our client", async (t) => {
  const work = makeSelftests();
  t.after(() => rmSync(work, { recursive: true }));
  const options = { cwd: join(work, 'mptcp'), timeout: 300_000, env: { ...process.env, NO_COLOR: '1' } };
  for (let attempt = 1; ; attempt++) {
    const { stdout } = await run('bash', ['userspace_pm.sh'], options).catch((error) => error);
    const results = `${stdout}`.split('\n').filter((line) => /^(not )?ok \d+ /.test(line));
    const failed = results.filter((line) => line.startsWith('not') || line.includes('# SKIP'));
    t.diagnostic(`attempt ${attempt}: ${results.length} checks, ${failed.length} failed`);
    if (failed.length > 0 && attempt < ATTEMPTS) continue;
    assert.deepEqual(failed, [], `${stdout}`);
    assert.equal(results.length, CHECKS, `${stdout}`);
    return;
  }
});
