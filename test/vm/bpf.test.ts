/** The eBPF programs on Debian's kernels: one object serves them all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KERNELS, type KernelVersion } from './kernel.ts';
import { runInVm } from './run.ts';

/** What becomes of subflows that are older than the source. */
const OLDER = { '6.1': 'watched by tracepoint', '6.12': 'enrolled' } as const;

async function run(kernel: KernelVersion, program: string) {
  const command = ['node', `dist/test/vm/${program}`];
  const { status, stdout, stderr } = await runInVm({ kernel, command, timeout: 300 });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

for (const kernel of KERNELS) {
  test(`Linux ${kernel} tells of timeouts, of older subflows too, of silences, and who connected`, async () => {
    const { mode, reason, olderRtos, youngerRtos, known, resumed } = await run(kernel, 'bpf-smoke.js');
    assert.equal(mode, 'sockops');
    assert.match(reason, new RegExp(`2 older subflows ${OLDER[kernel]}`));
    for (const [first, second] of [olderRtos, youngerRtos]) assert.equal(second, 2 * first);
    assert.equal(known, true);
    assert.ok(resumed >= 1000, `resumed after ${resumed} ms`);
  });
}

test("Linux 6.12 turns chosen applications' sockets into MPTCP", async () => {
  assert.deepEqual(await run('6.12', 'mptcp-switch-smoke.js'), {
    reason: 'update_socket_protocol program',
    'its program': true,
    'another program': false,
    'below its unit': true,
    'outside its unit': false,
    'below its cgroup': true,
    'outside its cgroup': false,
    'its user and program': true,
    'its program, another user': false,
    'an app before it has the process': false,
    'an app before it has others': true,
    closed: false,
  });
});
