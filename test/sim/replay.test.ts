/** What was recorded of one agent makes another decide the same, or shows where it does not. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { commands } from '../../agent/cli/table.ts';
import type { Line } from '../../agent/record.ts';
import { readRecording, replay } from '../../agent/replay.ts';
import backup from '../../controllers/backup.ts';
import single from '../../controllers/single.ts';
import { ControlledSimulation, run } from './control.ts';

const controllers = [backup, single];
const PHONE = 7;
const LAPTOP = 8;

let sim: ControlledSimulation;
let file: string;
let lines: Line[];

before(async () => {
  sim = new ControlledSimulation(backup, ['10.0.0.1%wlan0', '100.64.0.1%wwan0 backup']);
  await sim.start();
  sim.kernel.connect(PHONE, { ip: '10.0.0.1', port: 5000 }, { ip: '10.1.0.1', port: 80 });
  sim.clock.advance(1000);
  file = `${sim.path}.jsonl`;
  const recording = sim.smappctl(['record', file, '--json'], () => false);
  while (sim.server!.streams === 0) await new Promise((done) => setTimeout(done, 5));

  // One connection from before, one from during the recording; Wi-Fi dies for both and comes back.
  sim.kernel.connect(LAPTOP, { ip: '10.0.0.1', port: 6000 }, { ip: '10.1.0.1', port: 80 });
  sim.clock.advance(500);
  sim.sample();
  for (const rto of [400, 800, 1600, 3200]) {
    for (const token of [PHONE, LAPTOP]) {
      if (sim.kernel.subflows(token).some(({ local }) => local.ip === '10.0.0.1')) {
        sim.kernel.stall(token, '10.0.0.1', rto);
      }
    }
    sim.clock.advance(rto);
  }
  await sim.smappctl(['announce', String(LAPTOP), 'wwan0', '--why', 'by hand']);
  sim.linkDown('wlan0');
  sim.clock.advance(5000);
  sim.linkUp('wlan0');
  sim.clock.advance(60_000);
  sim.kernel.end(PHONE);
  sim.clock.advance(1000);
  await sim.server!.close();
  const { out, status } = await recording;
  assert.equal(status, 0);
  lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(JSON.parse(out).lines, lines.length);
});
after(() => sim.end());

test('the recording has decisions of both connections, and the one by hand', () => {
  const decided = lines.filter((line) => line.kind === 'decision');
  for (const token of [PHONE, LAPTOP]) {
    assert.ok(decided.some((line) => line.token === token && line.command?.kind === 'open'));
  }
  assert.equal(lines.filter(({ kind }) => kind === 'by-hand').length, 1);
});

test('the same controllers decide the same', () => {
  const played = replay(lines, { controllers });
  assert.ok(played.length > 4);
  assert.deepEqual(
    played.filter(({ verdict }) => verdict !== 'same'),
    [],
  );
});

test('another controller is seen to decide otherwise', () => {
  const played = replay(lines, {
    controllers,
    choose: () => ({ app: '', controller: single, params: {}, why: 'test' }),
  });
  assert.ok(played.some(({ verdict, command }) => verdict === 'missing' && command?.startsWith('open')));
});

test('smappctl replay tells in JSON and by its exit status', async () => {
  const same = await run(['replay', file, '--json'], commands);
  assert.equal(same.status, 0, same.err);
  const { new: fresh, missing, decisions } = JSON.parse(same.out);
  assert.deepEqual({ fresh, missing }, { fresh: 0, missing: 0 });
  assert.match(decisions[0].at, /^2026-01-01T00:00:0/);

  writeFileSync(`${file}.policy`, '{ "default": { "controller": "single" } }');
  const other = await run(['replay', file, '--policy', `${file}.policy`], commands);
  assert.equal(other.status, 1);
  assert.match(other.out, /^- .*open 100\.64\.0\.1%wwan0/m);
});

for (const [what, text, message] of [
  ['no JSON', 'hello\n', /line 1: not JSON/],
  ['a line without a time', '{"kind":"start"}\n', /line 1: neither "kind" nor "at"/],
  ['no start', '{"kind":"event","at":1}\n', /line 1: no "start" line/],
  ['a format of the future', '{"kind":"start","at":1,"format":99}\n', /format 99, and this program reads 1/],
  ['an end in the middle', '{"kind":"start","at":1,"format":1}\n{"kind":"ev', /line 2: not JSON .* cut off/],
  ['nothing', '', /line 1: no "start" line/],
] as const) {
  test(`a file with ${what} is refused with its place`, async () => {
    await assert.rejects(readRecording(Readable.from([text])), message);
  });
}
