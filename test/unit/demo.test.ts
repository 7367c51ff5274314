/** The demo's figures: each follows from what was recorded, and is null where that does not tell. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { chart } from '../demo/chart.ts';
import { type Mark, measure, type Point, type Recording } from '../demo/recording.ts';

const links = [
  { ifname: 'wlan0', title: 'Wi-Fi', role: 'primary' },
  { ifname: 'wwan0', title: 'LTE', role: 'backup' },
] as const;

function point(at: number, received: number, first: number, lte = 0, second = 0): Point {
  const subflows = [
    { key: 'a', ifname: 'wlan0', acked: first },
    { key: 'b', ifname: 'wwan0', acked: lte },
    { key: 'c', ifname: 'wlan0', acked: second },
  ];
  return { at, received, subflows };
}

const marks: Mark[] = [
  { at: 1000, kind: 'bad', text: 'bad' },
  { at: 1700, kind: 'decision', text: 'open' },
  { at: 1900, kind: 'probe', text: 'open backup' },
  { at: 3000, kind: 'good', text: 'good' },
];
const whole: Recording = {
  links,
  size: 100,
  marks,
  points: [
    point(0, 0, 0),
    point(500, 20, 20),
    point(1000, 40, 40),
    point(1800, 50, 40, 10),
    point(2500, 70, 40, 30),
    point(3400, 80, 40, 30, 10),
    point(4450, 100, 40, 30, 30),
  ],
  end: { at: 4500, received: 100, sha256Ok: true },
};

test('a transfer that moves to the backup and returns', () => {
  assert.deepEqual(measure(whole), {
    completed: true,
    sha256_ok: true,
    failover_ms: 800,
    bytes_on_backup_before_failure: 0,
    stall_ms_max: 1050,
    returned_to_primary: true,
    return_ms: 400,
    bytes: 100,
    seconds: 4.5,
    acknowledged: { wlan0: 70, wwan0: 30 },
    subflows: 3,
    decisions: 1,
  });
});

test('one that used the backup early, did not return, and did not end', () => {
  const points = [point(0, 0, 0), point(900, 40, 30, 10), point(2000, 60, 30, 30), point(3500, 70, 30, 40)];
  const result = measure({ ...whole, points, end: undefined });
  assert.equal(result.completed, false);
  assert.equal(result.bytes_on_backup_before_failure, 10);
  assert.equal(result.returned_to_primary, false);
  assert.equal(result.return_ms, null);
  assert.equal(result.seconds, null);
});

test('the picture has every decision and no markup from texts, also of a run without any reading', () => {
  const odd: Recording = { ...whole, marks: [...marks, { at: 2000, kind: 'decision', text: 'a <b> & c' }] };
  const svg = chart(odd, measure(odd), 'caption');
  assert.match(svg, /a &lt;b&gt; &amp; c/);
  const none: Recording = { ...whole, points: [], marks: [], end: undefined };
  const empty = chart(none, measure(none), 'caption');
  assert.doesNotMatch(svg + empty, /NaN|undefined|Infinity/);
});
