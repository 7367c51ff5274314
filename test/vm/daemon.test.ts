/**
 * The daemon's functional tests, the same files that test/netns runs on this machine's kernel, on Debian's kernels.
 * In virtual time, so that what they wait for does not depend on how slow the emulation is.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { archiveDaemon } from './daemon-files.ts';
import type { GuestTest } from './guest-reporter.ts';
import { KERNELS, type KernelVersion } from './kernel.ts';
import { runInVm, sayOnStderr } from './run.ts';

/** Few of them: under emulation each start of a daemon takes a processor for seconds. Before a release, try more. */
const MORE = process.env['SMAPPD_VM_FILES']?.split(',');
const FILES = MORE ?? ['path-manager', 'scenario', 'app-switch'];

let directory = '';
let archive = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'smappd-daemon-'));
  archive = join(directory, 'checkout.tar');
  archiveDaemon(archive, ['dist/test/netns', 'dist/test/vm', 'test/netns', 'test/scenarios']);
});
after(() => rmSync(directory, { recursive: true }));

describe('the daemon', { concurrency: true }, () => {
  for (const kernel of KERNELS)
    test(`on Linux ${kernel}`, async (t) => {
      const ran = await runGuest(kernel);
      for (const { file, name, skipped, failure } of ran)
        await t.test(`${file}: ${name}`, (one) => {
          if (skipped) one.skip(String(skipped));
          assert.equal(failure, undefined, failure);
        });
      for (const file of FILES)
        assert.ok(
          ran.some((one) => one.file === `${file}.test`),
          `${file} ran`,
        );
    });
});

async function runGuest(kernel: KernelVersion): Promise<GuestTest[]> {
  const { status, stdout, stderr } = await runInVm({
    kernel,
    command: ['sh', 'test/vm/daemon-guest.sh', archive, ...FILES],
    timeout: 1000,
    virtualTime: true,
    env: { SMAPPD_TEST_PATIENCE: '60000' },
    // Hours, maybe.
    ...(MORE && { onOutput: (_, text) => sayOnStderr(`${kernel}: ${text.trimEnd()}`) }),
  });
  const ran = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as GuestTest);
  if (status !== 0)
    assert.ok(
      ran.some(({ failure }) => failure),
      `exit ${status}:\n${stderr}`,
    );
  return ran;
}
