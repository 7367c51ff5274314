/** For tests that are themselves inside a network namespace: sockets and netlink of the test's own process. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const INSIDE = 'SMAPPD_TEST_OWN_NAMESPACE';

/**
 * False in the process that the test runner started: there the same file runs again in a namespace of its own,
 * which goes with it, and reports through the same standard output.
 */
export function inOwnNamespace(file: string): boolean {
  if (process.env[INSIDE] !== undefined) return true;
  const command = ['--net', process.execPath, ...process.execArgv, fileURLToPath(file)];
  const { status } = spawnSync('unshare', command, {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  });
  process.exitCode = status ?? 1;
  return false;
}
