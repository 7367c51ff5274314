/** `smappctl converter ...`: what passes from MPTCP clients to TCP servers. */
import type { ControlClient } from '../control/client.ts';
import { hex } from '../control/token.ts';
import type { ConvertedConnection, DataPathStats } from '../converter/status.ts';
import { ENTER, frame, LEAVE } from '../live.ts';
import { bitRate, cut } from '../view.ts';
import type { CommandLine } from './command.ts';
import { ago, bytes, fields, micros, type Paint, painter, table } from './format.ts';

export const converterStatus: CommandLine = {
  name: 'converter status',
  args: '',
  summary: "the converter's counters, memory and time to open",
  help: 'Counters are since the start of the data path; native/converter/stats.h says what each means.',
  options: {},
  async run({ terminal, json, connect }) {
    const stats = (await (await connect()).call('converter-status')) as DataPathStats;
    terminal.write(json ? `${JSON.stringify(stats)}\n` : describe(stats, painter(terminal.colours)));
    return 0;
  },
};

export const converterConnections: CommandLine = {
  name: 'converter connections',
  args: '',
  summary: 'connections that pass through the converter, both sides',
  help: [
    'OPEN is the time from the SYN or accept() of the client to the answer of the server; "syn" marks those that were',
    "opened when the SYN came. TOKEN is that of the client's side: smappctl show TOKEN shows its subflows.",
  ].join('\n'),
  options: {},
  async run({ terminal, json, connect }) {
    const all = (await (await connect()).call('converter-connections')) as ConvertedConnection[];
    if (json) terminal.write(`${JSON.stringify({ connections: all })}\n`);
    else if (all.length === 0) terminal.write('nothing passes through the converter now\n');
    else terminal.write(list(all, terminal.today(), painter(terminal.colours)));
    return 0;
  },
};

export const converterTop: CommandLine = {
  name: 'converter top',
  args: '',
  summary: 'live: rates of the converter, and its busiest connections',
  help: 'Once a second until it is interrupted. With --json each frame is an object: {"at","stats","connections"}.',
  options: { count: { type: 'string', value: 'N', doc: 'frames after which to end' } },
  async run({ terminal, options, json, connect }) {
    const client = await connect();
    const count = Number(options['count'] ?? Number.POSITIVE_INFINITY);
    const { interactive, colours } = terminal;
    let ended = false;
    const end = terminal.interrupted().then(() => {
      ended = true;
    });
    if (interactive && !json) terminal.write(ENTER);
    try {
      let before = await reading(client);
      for (let frames = 0; frames < count && !ended; frames++) {
        await Promise.race([end, new Promise<void>((done) => void terminal.clock.after(1000, done))]);
        const now = await reading(client);
        const at = terminal.today();
        const lines = json ? [] : topLines(before, now, at, painter(colours));
        if (json) terminal.write(`${JSON.stringify({ at, ...now })}\n`);
        else if (interactive)
          terminal.write(frame(lines.slice(0, terminal.rows).map((line) => cut(line, terminal.columns))));
        else terminal.write(`${lines.join('\n')}\n\n`);
        before = now;
      }
    } finally {
      if (interactive && !json) terminal.write(LEAVE);
    }
    return 0;
  },
};

interface Reading {
  readonly stats: DataPathStats;
  readonly connections: readonly ConvertedConnection[];
}

async function reading(client: ControlClient): Promise<Reading> {
  const stats = (await client.call('converter-status')) as DataPathStats;
  return { stats, connections: (await client.call('converter-connections')) as ConvertedConnection[] };
}

function describe(stats: DataPathStats, paint: Paint): string {
  const { pid, threads, uptime_ms, rss_bytes, draining, ...counters } = stats;
  const of = (name: string): number => Number(counters[name] ?? 0);
  const opening = of('opened') > 0 ? micros(Math.round(of('open_us') / of('opened'))) : '-';
  const told = new Set([
    'bytes_up',
    'bytes_down',
    'open_us',
    'opened',
    'active',
    'accepted',
    'accepted_mptcp',
  ]);
  const rest = Object.entries(counters).filter(([name, value]) => !told.has(name) && Number(value) > 0);
  return fields(
    [
      [
        'converter',
        `pid ${pid}, ${threads} threads, ${Math.round(uptime_ms / 1000)} s${draining ? ', draining' : ''}`,
      ],
      ['memory', bytes(rss_bytes)],
      ['clients', `${of('active')} now, ${of('accepted')} in all, ${of('accepted_mptcp')} with MPTCP`],
      ['servers', `${of('opened')} opened, ${opening} on average`],
      ['carried', `${bytes(of('bytes_up'))} up, ${bytes(of('bytes_down'))} down`],
      ...rest.map(([name, value]): [string, string] => [name.replaceAll('_', ' '), String(value)]),
    ],
    paint,
  );
}

function list(all: readonly ConvertedConnection[], now: number, paint: Paint): string {
  const rows = all.map((one) => [
    one.token === undefined ? '-' : paint('cyan', hex(one.token)),
    one.protocol,
    String(one.subflows ?? 1),
    one.client,
    one.server || '-',
    one.state,
    ago(new Date(now - one.age_ms).toISOString(), now),
    `${micros(one.open_us)}${one.syn_timed ? ' syn' : ''}`,
    bytes(one.bytes_up),
    bytes(one.bytes_down),
    bytes(one.held),
  ]);
  const head = [
    'TOKEN',
    'CLIENT IS',
    'SUBFLOWS',
    'CLIENT',
    'SERVER',
    'STATE',
    'AGE',
    'OPEN',
    'UP',
    'DOWN',
    'HELD',
  ];
  return table(head, rows, paint);
}

function topLines(before: Reading, now: Reading, at: number, paint: Paint): string[] {
  const of = ({ stats }: Reading, name: string): number => Number(stats[name] ?? 0);
  const seconds = (now.stats.uptime_ms - before.stats.uptime_ms) / 1000 || 1;
  const rate = (name: string): number => Math.max(0, (of(now, name) - of(before, name)) / seconds);
  const head = [
    `${of(now, 'active')} connections`,
    `${rate('accepted').toFixed(0)} new a second`,
    `up ${bitRate(rate('bytes_up'))}`,
    `down ${bitRate(rate('bytes_down'))}`,
    bytes(now.stats.rss_bytes),
  ];
  const carried = new Map(before.connections.map((one) => [one.client, one.bytes_up + one.bytes_down]));
  const moved = (one: ConvertedConnection): number =>
    one.bytes_up + one.bytes_down - (carried.get(one.client) ?? 0);
  const busiest = [...now.connections].sort((a, b) => moved(b) - moved(a)).slice(0, 50);
  return [paint('bold', head.join('  ')), '', ...list(busiest, at, paint).trimEnd().split('\n')];
}
