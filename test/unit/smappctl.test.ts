/** The command line of smappctl itself: dispatch, help, and what is said about mistakes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ago, bytes, micros, painter, table } from '../../agent/cli/format.ts';
import { commands } from '../../agent/cli/table.ts';
import { run } from '../sim/control.ts';

test('the help names every command, and each has help of its own within 120 columns', async () => {
  const { status, out } = await run(['--help'], commands);
  assert.equal(status, 0);
  for (const { name, summary } of commands) {
    assert.ok(out.includes(`  ${name} `) && out.includes(summary), name);
    for (const args of [
      ['help', ...name.split(' ')],
      [...name.split(' '), '--help'],
    ]) {
      const own = await run(args, commands);
      assert.equal(own.status, 0);
      assert.match(own.out, new RegExp(`^${name}: .*\n\nUsage: smappctl ${name}`));
      for (const line of own.out.split('\n')) assert.ok(line.length <= 120, line);
    }
  }
});

for (const [args, says] of [
  [[], /no command; they are: status, /],
  [['shwo'], /no command "shwo"; there is: status, /],
  [['converter'], /there is: converter status, converter connections/],
  [['show'], /usage: smappctl show TOKEN/],
  [['show', '1', '2'], /usage: smappctl show TOKEN/],
  [['status', '--from', 'x'], /Unknown option '--from'/],
  [['backup', '1', 'x', 'maybe'], /"maybe" is neither on nor off/],
  [['open', '1', '--local-port', '99999'], /"99999" is no port: give a number from 1 to 65535/],
  [['top', '--interval', 'often'], /--interval often: give a number above 0/],
  [['status', '--control'], /argument missing/],
] as const) {
  test(`smappctl ${args.join(' ')}: exit status 2 and what is wrong`, async () => {
    const { status, out, err } = await run(args, commands);
    assert.deepEqual({ status, out }, { status: 2, out: '' });
    assert.match(err, says);
    assert.match(err, /smappctl --help/);
  });
}

test('with --json an error is one object on standard output', async () => {
  const { status, out, err } = await run(['shwo', '--json'], commands);
  assert.deepEqual({ status, err }, { status: 2, err: '' });
  assert.match(JSON.parse(out).error.message, /no command "shwo"/);
});

test('tables align whatever is coloured', () => {
  const paint = painter(false);
  const green = painter(true)('green', 'ok');
  const lines = table(
    ['A', 'B'],
    [
      [green, 'x'],
      ['long', 'y'],
    ],
    paint,
  ).split('\n');
  assert.equal(lines[1]?.replace(green, 'ok'), 'ok    x');
  assert.equal(lines[2], 'long  y');
});

test('amounts for people', () => {
  assert.deepEqual([null, 0, 999, 1536, 20 * 1024 ** 2].map(bytes), [
    '-',
    '0 B',
    '999 B',
    '1.5 KiB',
    '20 MiB',
  ]);
  assert.deepEqual([null, 850, 12_340, 250_000, 1_500_000].map(micros), [
    '-',
    '850 µs',
    '12.3 ms',
    '250 ms',
    '1.5 s',
  ]);
  const now = Date.UTC(2026, 0, 2);
  assert.deepEqual(
    [5, 180, 7200, 172_800].map((seconds) => ago(new Date(now - seconds * 1000).toISOString(), now)),
    ['5s', '3m', '2h', '2d'],
  );
});
