/** The systemd unit: what it gives away is judged by systemd's own tool, without a running systemd. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

/** Tenths. What is left is what the daemon is for: the network, BPF, and whose sockets there are. */
const MOST_EXPOSED = 30;

let folder: string;
let unit: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'smappd-unit-'));
  unit = join(folder, 'smappd.service');
  const text = readFileSync('systemd/smappd.service', 'utf8');
  // Any program will do for the judgement, but it must be there.
  writeFileSync(unit, text.replaceAll('@PREFIX@/bin/smappd', '/bin/true').replaceAll('@PREFIX@', '/usr'));
});
after(() => rmSync(folder, { recursive: true }));

function analyze(...args: string[]): { status: number | null; text: string } {
  const { status, stdout, stderr, error } = spawnSync('systemd-analyze', [...args, unit], {
    encoding: 'utf8',
  });
  assert.ifError(error);
  return { status, text: `${stdout}${stderr}` };
}

test(`systemd-analyze security judges the unit at most ${MOST_EXPOSED / 10} of 10`, () => {
  const { status, text } = analyze('security', '--offline=true', '--no-pager', `--threshold=${MOST_EXPOSED}`);
  assert.equal(status, 0, text);
});

test('systemd knows every setting of the unit', () => {
  const { text } = analyze('verify', '--man=no');
  const ours = text
    .split('\n')
    .filter((line) => line.includes('smappd.service') && !line.includes('/bin/true'));
  assert.deepEqual(ours, []);
});
