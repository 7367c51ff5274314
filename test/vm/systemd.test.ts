/** The units under a real systemd: no root, all the hardening, the store, restarts, Squid; then no trace of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInVm } from './run.ts';

test('smappd as a service of systemd, from smappctl install to smappctl uninstall', async () => {
  const { status, stdout, stderr } = await runInVm({
    kernel: '6.12',
    command: ['sh', 'test/vm/systemd.sh', process.cwd()],
    timeout: 600,
  });
  assert.equal(status, 0, stderr);
  const found = Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/=(.*)/s).slice(0, 2)),
  );
  const { status: first, status_after: second, ...rest } = found;
  assert.deepEqual(rest, {
    started: 'active',
    user: 'smappd',
    kept: '1',
    socket: '660 smappd smappd',
    path_manager: '1',
    reloaded: 'active',
    refused: 'active',
    new_process: 'yes',
    // A restart does not take away what new connections, and old ones' packets, depend on.
    meanwhile: '1 2,',
    proxied: '200 hello',
    tunnel: '200',
    squid_user: 'smappd',
    restarts: '1',
    kept_after: '1',
    stopped: 'success',
    path_manager_after: '0',
    rules_after: '0',
    run_after: '',
    left: '',
    user_left: '0',
  });
  const [one, two] = [first, second].map((text) => JSON.parse(text));
  assert.equal(one.policy.error, undefined);
  assert.notEqual(one.pid, two.pid);
  // Whether eBPF loads without root is told by where timeouts come from.
  assert.doesNotMatch(one.timeouts, /^sampling/);
});
