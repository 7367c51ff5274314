/** The VM runner itself: what every test that runs in a VM relies on. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { headers, KERNELS } from './kernel.ts';
import { runInVm, sayOnStderr } from './run.ts';

for (const kernel of KERNELS) {
  test(`Linux ${kernel} runs a command over the host's root and gives back what it wrote`, async () => {
    const shared = mkdtempSync(join(tmpdir(), 'smappd-vm-test-'));
    try {
      writeFileSync(join(shared, 'Makefile'), 'obj-m := hello.o\n');
      const source =
        '#include <linux/module.h>\nstatic int hello(void) { return 0; }\nmodule_init(hello);\nMODULE_LICENSE("GPL");\n';
      writeFileSync(join(shared, 'hello.c'), source);
      execFileSync('make', ['-C', headers(kernel, sayOnStderr), `M=${shared}`], { stdio: 'pipe' });
      const script = `
        uname -r | cut -d. -f1,2; node -p process.argv0; stat -fc %T /sys/fs/cgroup /sys/fs/bpf
        modprobe sch_netem && insmod ${shared}/hello.ko && grep -o ^hello /proc/modules
        echo complaint >/dev/stderr; echo written >${shared}/file; touch /etc/only-in-guest; sleep 600 &
        exit 7`;
      const result = await runInVm({ kernel, command: ['sh', '-c', script], timeout: 120, out: shared });
      assert.deepEqual(result, {
        status: 7,
        stdout: `${kernel}\nnode\ncgroup2fs\nbpf_fs\nhello\n`,
        stderr: 'complaint\n',
      });
      assert.equal(readFileSync(join(shared, 'file'), 'utf8'), 'written\n');
      assert.throws(() => readFileSync('/etc/only-in-guest'), { code: 'ENOENT' });
    } finally {
      rmSync(shared, { recursive: true });
    }
  });
}

test('in virtual time an hour of waiting passes in seconds', async () => {
  const command = ['sh', '-c', 'sleep 3600; cut -d. -f1 /proc/uptime'];
  const { stdout } = await runInVm({ kernel: '6.12', command, timeout: 120, virtualTime: true });
  assert.ok(Number(stdout) >= 3600, stdout);
});

test('a command that is not done in time is ended, and the error says which', async () => {
  const job = runInVm({ kernel: '6.12', command: ['sleep', '1000'], timeout: 6 });
  await assert.rejects(job, /VM \(Linux 6\.12\): not done after 6 s: sleep 1000/);
});
