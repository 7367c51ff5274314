/**
 * The kernel module on Debian's 6.12 and 6.1: built here against their headers, then every case in one VM a kernel
 * (kmod/guest.sh, which prints what happened; what must have happened stands here).
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { checkout } from './cache.ts';
import { KERNELS, type KernelVersion } from './kernel.ts';
import { buildModule, gatherPrograms } from './kmod/build.ts';
import { runInVm } from './run.ts';

type Numbers = Readonly<Record<string, number>>;

for (const kernel of KERNELS) {
  describe(`smapp_convert.ko on Linux ${kernel}`, () => {
    let lines: readonly string[] = [];
    before(async () => {
      lines = await runGuest(kernel);
    });
    const said = (name: string) =>
      lines.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1));
    const text = (name: string) => {
      const [found] = said(name);
      assert.ok(found !== undefined, `the guest said nothing of ${name}:\n${lines.join('\n')}`);
      return found;
    };
    const result = (name: string): Numbers => JSON.parse(text(name));
    const has = (name: string, expected: Numbers) => {
      const found = result(name);
      for (const [key, value] of Object.entries(expected))
        assert.equal(found[key], value, `${name}: ${key} in ${JSON.stringify(found)}`);
    };

    test('carries every byte, both ways at once', () => {
      has('exact', { down: 20e6, up: 20e6, down_bad: 0, up_bad: 0 });
      for (const way of ['ipv6', 'fallback', 'parallel', 'held', 'tight', 'fixed'])
        has(`exact-${way}`, { down: 5e6, up: 5e6, down_bad: 0, up_bad: 0 });
    });

    test('uses both subflows', () => {
      for (const bytes of text('both-paths').trim().split(' '))
        assert.ok(Number(bytes) > 2e6, text('both-paths'));
    });

    test('serves short connections, one after another and many at a time', () => {
      has('one-after-another', { done: 300, bad: 0 });
      has('many', { done: 1000, bad: 0 });
      for (const way of ['parallel', 'held', 'held-fallback']) has(`many-${way}`, { done: 300, bad: 0 });
      has('held-stats', { syn_held: 601, syn_used: 601, syn_waiting: 0, active: 0, memory: 0 });
      has('parallel-stats', { accepted: 301, finished: 301, active: 0, memory: 0 });
      has('plain-stats', { active: 0, memory: 0 });
    });

    test('passes on an end, and a reset, from either side', () => {
      has('half-close', { done: 2, bad: 0 });
      has('server-resets', { got: 100000, bad: 0, error: 104 });
      has('plain-stats', { client_aborted: 1, server_aborted: 1 });
    });

    test("answers the client's SYN with the server's refusal", () => {
      for (const how of ['', '-ipv6', '-tcp']) has(`refused-at-syn${how}`, { connect: 111 });
      has('unreachable-host', { connect: 113 });
      has('unreachable-net', { connect: 101 });
      has('unreachable-net-ipv6', { connect: 101 });
      has('refusing-stats', { accepted: 0, syn_refused: 6, syn_waiting: 0 });
    });

    test('ends what idles, is half closed, or cannot connect for too long', () => {
      for (const why of ['idle', 'half-close', 'connect']) has(`${why}-timeout`, { error: 104 });
      has('impatient-stats', { idle_timeout: 1, half_close_timeout: 1, connect_timeout: 1, active: 0 });
    });

    test('waits for a slow reader with bounded memory', () => {
      has('slow-reader', { got: 3e6, bad: 0 });
      has('tight-stats', { finished: 2, memory: 0 });
    });

    test('keeps to its limits', () => {
      has('few-stats', { accepted: 30, active: 10, too_many: 20 });
      assert.match(text('few-connection'), /^relay 10\.0\.1\.2:\d+ 10\.0\.3\.2:8005 /);
      const flood = result('flood-stats');
      assert.ok(flood['syn_opened']! <= 64 && flood['syn_opened']! > 0, JSON.stringify(flood));
      assert.ok(flood['syn_over_table']! + flood['syn_over_rate']! >= 150 - 64, JSON.stringify(flood));
      has('flood-over-stats', { syn_waiting: 0 });
      assert.ok(result('flood-over-stats')['syn_expired']! > 0);
    });

    test('refuses the unprivileged, and nonsense', () => {
      assert.match(text('device-for-others'), /Operation not permitted/);
      assert.equal(said('misuse').length, 14);
      for (const line of said('misuse')) assert.doesNotMatch(line, /taken/);
    });

    test('stays while it is held, and leaves nothing behind when its holder is killed under load', () => {
      assert.match(text('rmmod-in-use'), /in use/);
      assert.ok(result('others-go-on')['active']! > 0);
      assert.equal(text('module-left'), '0');
      assert.equal(text('sockets-left'), '0');
      assert.equal(text('again'), 'yes');
    });

    test('serves smapp-convert, by listeners and by connections, and its successor', () => {
      for (const who of ['listening', 'handing', 'successor'])
        has(`exact-${who}`, { down: 5e6, up: 5e6, down_bad: 0, up_bad: 0 });
      has('exact-predecessor', { got: 3e6, bad: 0 });
      has('listening-stats', { accepted: 1, finished: 1, active: 0, syn_used: 1 });
      has('handing-stats', { accepted: 1, finished: 1, active: 0 });
    });

    test('the kernel has nothing to complain about', () => {
      assert.equal(text('done'), 'yes');
      assert.deepEqual(said('kernel-complains'), []);
    });
  });
}

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'smappd-kmod-'));
  gatherPrograms(directory);
});
after(() => rmSync(directory, { recursive: true }));

async function runGuest(kernel: KernelVersion): Promise<readonly string[]> {
  const module = buildModule(kernel, directory);
  const command = ['bash', join(checkout, 'test/vm/kmod/guest.sh'), module, directory];
  const said: string[] = [];
  const onOutput = (_: string, text: string) => said.push(text);
  await runInVm({ kernel, command, timeout: 500, onOutput }).catch((error: Error) => {
    throw new Error(`${error.message}\nit said:\n${said.join('')}`, { cause: error });
  });
  return said.join('').split('\n');
}
