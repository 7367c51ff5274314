/** What systemd.ts says and gets back, against a supervisor of ours over real sockets and file descriptors. */
import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { inheritedFds, serviceManager } from '../../agent/systemd.ts';
import { supervise } from './supervisor.ts';

const keeper = [process.execPath, new URL('./keeper.js', import.meta.url).pathname];

async function answerFrom(port: number): Promise<string> {
  let text = '';
  for await (const chunk of createConnection(port, '127.0.0.1')) text += chunk;
  return text.trim();
}

test('a socket in the store outlives a killed service: clients that connect meanwhile are answered', async () => {
  const service = await supervise(keeper, {}, 200);
  try {
    const ready = await service.until(/^notify READY=1/);
    const [, port] = /STATUS=listening on (\d+) new$/.exec(ready)!;
    await service.until(/^kept listener/);
    await service.until(/^notify WATCHDOG=1/);
    const first = service.pid;
    assert.equal(await answerFrom(Number(port)), String(first));

    const from = service.lines.length;
    process.kill(first, 'SIGKILL');
    const answer = answerFrom(Number(port)); // waits in the kernel's queue until the next one accepts
    await service.until(/^killed 9/, from);
    await service.until(new RegExp(`^notify READY=1 STATUS=listening on ${port} kept`), from);
    assert.equal(await answer, String(service.pid));
    assert.notEqual(service.pid, first);

    process.kill(service.pid, 'SIGHUP');
    await service.until(/^notify RELOADING=1 MONOTONIC_USEC=\d+$/, from);
    await service.until(/^notify READY=1 STATUS=reloaded/, from);
  } finally {
    await service.stop();
  }
  assert.ok(service.lines.includes('notify STOPPING=1'));
  assert.ok(service.lines.includes('forgot listener'));
  assert.equal(service.lines.at(-1), 'exited 0');
});

const nobody = {
  notify: () => assert.fail('nobody listens'),
  setCloseOnExec: () => assert.fail('no file descriptor is ours'),
};

test('without a service manager there is nobody to tell', () => {
  assert.equal(
    serviceManager({}, 1, nobody, () => 0n),
    undefined,
  );
});

test('file descriptors meant for another process are left alone', () => {
  const env = { LISTEN_PID: '2', LISTEN_FDS: '1', LISTEN_FDNAMES: 'events' };
  assert.equal(inheritedFds(env, 1, nobody).size, 0);
});

test('file descriptors come by name, more than one under the same, and close-on-exec', () => {
  const closed: number[] = [];
  const addon = { ...nobody, setCloseOnExec: (fd: number) => closed.push(fd) };
  const env = { LISTEN_PID: '1', LISTEN_FDS: '4', LISTEN_FDNAMES: 'events:listener:events' };
  assert.deepEqual(
    [...inheritedFds(env, 1, addon)],
    [
      ['events', [3, 5]],
      ['listener', [4]],
      ['unknown', [6]],
    ],
  );
  assert.deepEqual(closed, [3, 4, 5, 6]);
});

test('nonsense in LISTEN_FDS is refused', () => {
  assert.throws(() => inheritedFds({ LISTEN_PID: '1', LISTEN_FDS: 'x' }, 1, nobody), /LISTEN_FDS="x"/);
});

test('the watchdog of another process is not ours', () => {
  const env = { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '10000000' };
  assert.equal(serviceManager(env, 1, nobody, () => 0n)?.watchdog, 10_000);
  assert.equal(serviceManager({ ...env, WATCHDOG_PID: '2' }, 1, nobody, () => 0n)?.watchdog, undefined);
});
