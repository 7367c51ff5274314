/** From the policy's apps to what eBPF can decide when a socket is made. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  decidable,
  encodeRules,
  resolveRules,
  type SwitchedApp,
  undecidable,
} from '../../agent/bpf/mptcp-rules.ts';
import { openMptcpSwitch } from '../../agent/bpf/mptcp-switch.ts';

const app = (name: string, mptcp: boolean, match: Record<string, unknown>): SwitchedApp => ({
  name,
  mptcp,
  match: {
    unit: undefined,
    cgroup: undefined,
    user: undefined,
    exe: undefined,
    remotePort: undefined,
    ...match,
  },
});
const names = { cgroupRoot: '/nonexistent', uidOf: () => undefined };

test('only what is known of a process decides, and only literal names', () => {
  assert.equal(undecidable(app('a', true, { unit: ['a.service'], user: ['u'], exe: ['/bin/a'] })), undefined);
  assert.match(undecidable(app('a', true, { exe: ['/bin/a'], remotePort: [443] }))!, /`remotePort`/);
  assert.match(undecidable(app('a', true, { exe: ['/opt/*'] }))!, /`exe` has a wildcard/);
});

test('rules keep the order of the policy, a bit each', () => {
  const apps = [
    app('first', false, { unit: ['a.service'] }),
    app('undecidable', true, { remotePort: [443] }),
    app('second', true, { exe: ['/bin/a'], user: ['u'] }),
  ];
  const encoded = encodeRules(decidable(apps));
  const sets = Array.from({ length: 6 }, (_, i) => encoded.readBigUInt64LE(8 * i));
  assert.deepEqual(sets, [0b11n, 0b10n, 0b01n, 0b00n, 0b10n, 0b10n]);
  assert.equal(decidable(Array.from({ length: 70 }, () => apps[0]!)).length, 64);
});

test('what two rules name has both bits; programs are known by the file behind a link', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'smappd-rules-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'program'), '');
  symlinkSync('program', join(folder, 'link'));
  const apps = [
    app('direct', true, { exe: [join(folder, 'program')] }),
    app('by link', true, { exe: [join(folder, 'link'), join(folder, 'missing')] }),
  ];
  const { exes } = resolveRules(apps, names);
  assert.equal(exes.size, 1);
  const [[key, set]] = exes as unknown as [[string, bigint]];
  assert.equal(set, 0b11n);
  const bytes = Buffer.from(key, 'hex');
  assert.equal(bytes.length, 64);
  assert.equal(bytes.readBigUInt64LE(), statSync(join(folder, 'program'), { bigint: true }).ino);
  assert.equal(bytes.toString('latin1', 8).replace(/\0+$/, ''), 'program');
});

test('units longer than the kernel looks at are cut as it cuts them', () => {
  const { units } = resolveRules([app('a', true, { unit: [`${'x'.repeat(70)}.service`] })], names);
  const [key] = units.keys();
  assert.equal(Buffer.from(key!, 'hex').toString(), `${'x'.repeat(63)}\0`);
});

test('without eBPF each app that asks for it is named, and the way out', () => {
  const without = openMptcpSwitch('no eBPF here');
  assert.equal(without.works, false);
  const [problem, ...others] = without.configure([app('web', true, {}), app('ssh', false, {})]);
  assert.match(problem!, /app "web" has no effect: .*; start it with "smappctl run -- COMMAND"/);
  assert.deepEqual(others, []);
});
