/** The live view, as lines of text. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { ConnectionJson, StatusJson, SubflowJson } from '../../agent/control/daemon.ts';
import { cut, sparkline, View } from '../../agent/view.ts';

const status: StatusJson = {
  version: '0.1.0',
  pid: 1,
  since: '2026-01-01T00:00:00Z',
  kernel: '6.18.0',
  policy: { file: '/etc/smappd/policy.json', loaded: '2026-01-01T00:00:00Z' },
  connections: 1,
  subflows: 2,
  uncommanded: 0,
  events: 7,
  resyncs: 0,
  commands: { done: 1, failed: 0 },
  timeouts: 'sampling',
  problems: [],
  controllers: { backup: 1 },
  locals: [
    { ip: '192.168.1.5', id: 3, ifname: 'wlan0', role: 'primary', metered: false },
    { ip: '10.64.0.9', id: 9, ifname: 'wwan0', role: 'backup', metered: true },
  ],
};

function subflow(ifname: string, local: string, acked: number): SubflowJson {
  return {
    key: `${local}-192.0.2.1:443`,
    ifname,
    local,
    remote: '192.0.2.1:443',
    backup: false,
    state: 'established',
    rtt_us: 12_345,
    rto_us: 212_000,
    pacing_rate: 1_000_000,
    bytes_acked: acked,
    bytes_received: 0,
    retransmits: 0,
  };
}

function connection(subflows: SubflowJson[]): ConnectionJson {
  return {
    token: 0x1234abcd,
    side: 'client',
    app: 'video',
    controller: 'backup',
    local: '192.168.1.5:4000',
    remote: '192.0.2.1:443',
    since: '2026-01-01T00:00:00Z',
    commanded: true,
    subflows,
  };
}

test('rates are what was carried between two readings, by subflow and by interface', () => {
  const view = new View();
  view.reading(5000, status, [connection([subflow('wlan0', '192.168.1.5:4000', 1_000_000)])]);
  view.notice({
    kind: 'decision',
    at: 0,
    token: 0x1234abcd,
    why: 'RTO 1600 ms on wlan0',
    command: 'open',
    outcome: 'done',
  });
  view.reading(6000, status, [
    connection([
      subflow('wlan0', '192.168.1.5:4000', 1_500_000),
      subflow('wwan0', '10.64.0.9:4001', 250_000),
    ]),
  ]);
  const text = view.lines({ columns: 200, rows: 40, colour: false }).join('\n');
  assert.match(text, /wlan0 +primary .*4\.0 Mbit\/s +192\.168\.1\.5/);
  assert.match(text, /wwan0 +backup, metered .*2\.0 Mbit\/s +10\.64\.0\.9/);
  assert.match(text, /0x1234abcd client 192\.168\.1\.5:4000 -> 192\.0\.2\.1:443 +video, backup/);
  assert.match(text, / wwan0 +10\.64\.0\.9:4001 .*up 2\.0 Mbit\/s/);
  assert.match(text, /:00:00\.000 0x1234abcd open: RTO 1600 ms on wlan0/);
});

test('a frame fits the screen, with colours or without, however much there is to show', () => {
  const view = new View();
  const many = Array.from({ length: 50 }, () => connection([subflow('wlan0', '192.168.1.5:4000', 1)]));
  view.reading(0, status, many);
  for (let i = 0; i < 200; i++) view.notice({ kind: 'decision', at: i, token: i, why: 'x'.repeat(300) });
  for (const colour of [false, true]) {
    const lines = view.lines({ columns: 60, rows: 20, colour });
    assert.ok(lines.length <= 20);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escape sequences
    for (const line of lines) assert.ok(line.replace(/\u001b\[[0-9;]*m/g, '').length <= 60, line);
  }
});

test('sparklines show the newest values, and nothing as a dot', () => {
  assert.equal(sparkline([1, 2, 4, 8, 0], 8, 4), '▃▅█·');
  assert.equal(sparkline([8], 8, 3), '  █');
  assert.equal(cut('\u001b[1mabc\u001b[0mdef', 4), '\u001b[1mabc\u001b[0md');
});
