/** The systemd unit: what it gives away is judged by systemd's own tool, without a running systemd. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

/** Tenths. What is left is what the daemon is for: the network, BPF, and whose sockets there are. */
const MOST_EXPOSED = 30;

const UNITS = ['smappd.service', 'smappd-host.service'];
let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'smappd-unit-'));
  for (const name of UNITS) {
    const text = readFileSync(join('systemd', name), 'utf8');
    // Any program will do for the judgement, but it must be there.
    const there = text.replaceAll(/@PREFIX@.bin.smapp(d|ctl)/g, '/bin/true').replaceAll('@PREFIX@', '/usr');
    writeFileSync(join(folder, name), there);
  }
});
after(() => rmSync(folder, { recursive: true }));

function analyze(...args: string[]): { status: number | null; text: string } {
  const units = UNITS.map((name) => join(folder, name));
  const { status, stdout, stderr, error } = spawnSync('systemd-analyze', [...args, ...units], {
    encoding: 'utf8',
  });
  assert.ifError(error);
  return { status, text: `${stdout}${stderr}` };
}

test(`systemd-analyze security judges the units at most ${MOST_EXPOSED / 10} of 10`, () => {
  const { status, text } = analyze('security', '--offline=true', '--no-pager', `--threshold=${MOST_EXPOSED}`);
  assert.equal(status, 0, text);
});

test('systemd knows every setting of the units', () => {
  const { text } = analyze('verify', '--man=no');
  const ours = text
    .split('\n')
    .filter((line) => /smappd(-host)?\.service/.test(line) && !line.includes('/bin/true'));
  assert.deepEqual(ours, []);
});
