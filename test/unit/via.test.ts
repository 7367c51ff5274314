/** `"via"` while the policy changes under it: what was asked before is forgotten, and nothing is done for it. */
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import test from 'node:test';
import type { Bpf, BpfObject } from '../../agent/bpf/addon.ts';
import { Via, type ViaApp } from '../../agent/converter/via.ts';
import { ManualClock } from '../../agent/manual-clock.ts';

const app = (via: string | undefined, match: Partial<ViaApp['match']> = {}): ViaApp => ({
  name: 'app',
  via,
  match: { unit: ['app.service'], cgroup: undefined, user: undefined, exe: undefined, ...match },
});

/** A Via whose eBPF object notes the maps that are written to. */
function make() {
  const written: string[] = [];
  const object = {
    attach: () => {},
    update: (map: string) => written.push(map),
    remove: () => {},
    close: () => written.push('closed'),
  } as unknown as BpfObject;
  const addon = { netnsCookie: () => 1n, load: () => object, mountCgroup2: () => openSync('/', 'r') };
  const bpf = { addon, directory: '' } as unknown as Bpf;
  const warnings: string[] = [];
  const log = { warn: (_: object, text: string) => warnings.push(text) };
  return { via: new Via({ bpf, clock: new ManualClock(), log }), written, warnings };
}

test('closed while the converter is looked up: nothing is told to a kernel that no longer listens', async () => {
  const { via, written } = make();
  const done = via.configure([app('127.0.0.1:5124')]);
  via.close();
  await done;
  assert.deepEqual(written.slice(written.indexOf('closed')), ['closed']);
});

test('of two changes at once the later one holds', async () => {
  const { via, written } = make();
  await Promise.all([via.configure([app('127.0.0.1:1')]), via.configure([app('127.0.0.1:2')])]);
  assert.equal(written.filter((map) => map === 'converters').length, 1);
  via.close();
});

test('what has no effect is told, until the policy no longer asks for it', async () => {
  const { via, warnings } = make();
  await via.configure([app('[::1]:5124'), app('127.0.0.1:5124', { unit: ['*.service'] })]);
  assert.match(
    via.problems.join('\n'),
    /converter \[::1\]:5124 of app "app" cannot be used: it has no IPv4 address/,
  );
  assert.deepEqual(warnings, via.problems);
  await via.configure([app(undefined)]);
  assert.deepEqual(via.problems, []);
});
