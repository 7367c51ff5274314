/**
 * The live view of a daemon, for `npm start` on a terminal and for `smappctl top`: what it holds, which
 * interface carries how much, and what was decided last. Text only; who uses it brings readings and a screen.
 */
import { bytes, micros, plural, timeOfDay } from './cli/format.ts';
import type { ConnectionJson, LocalJson, Notice, StatusJson, SubflowJson } from './control/daemon.ts';
import { hex } from './control/token.ts';

export interface Screen {
  readonly columns: number;
  readonly rows: number;
  readonly colour: boolean;
}

interface Rate {
  /** Bytes a second. */
  readonly up: number;
  readonly down: number;
}

type Style = 'bold' | 'dim' | 'primary' | 'backup' | 'bad' | 'good';

/** SGR parameters; the links' colours are those of the demo's chart. */
const SGR: Readonly<Record<Style, string>> = {
  bold: '1',
  dim: '2',
  primary: '38;5;32',
  backup: '38;5;172',
  bad: '38;5;166',
  good: '38;5;36',
};
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escape sequences
const COLOUR = /(\u001b\[[0-9;]*m)/;
const DECISIONS = 100;
const HISTORY = 60;

export class View {
  #at = 0;
  #status: StatusJson | undefined;
  #connections: readonly ConnectionJson[] = [];
  #bytes = new Map<string, { acked: number; received: number }>();
  #rates = new Map<string, Rate>();
  /** Of each interface, bytes a second both ways, oldest first. */
  #history = new Map<string, number[]>();
  #decisions: (Notice & { kind: 'decision' })[] = [];

  /** Something happened; decisions are shown. */
  notice(notice: Notice): void {
    if (notice.kind !== 'decision') return;
    this.#decisions.push(notice);
    if (this.#decisions.length > DECISIONS) this.#decisions.shift();
  }

  /** What is now, `at` milliseconds of any clock; rates are since the reading before. */
  reading(at: number, status: StatusJson, connections: readonly ConnectionJson[]): void {
    const seconds = (at - this.#at) / 1000;
    const carried = new Map<string, { acked: number; received: number }>();
    const rates = new Map<string, Rate>();
    const links = new Map<string, number>(status.locals.map(({ ifname }) => [ifname, 0]));
    for (const { token, subflows } of connections) {
      for (const subflow of subflows) {
        const key = `${token} ${subflow.key}`;
        const now = { acked: subflow.bytes_acked ?? 0, received: subflow.bytes_received ?? 0 };
        const before = this.#status ? (this.#bytes.get(key) ?? { acked: 0, received: 0 }) : now;
        const up = Math.max(0, now.acked - before.acked) / seconds;
        const down = Math.max(0, now.received - before.received) / seconds;
        carried.set(key, now);
        rates.set(key, { up, down });
        links.set(subflow.ifname, (links.get(subflow.ifname) ?? 0) + up + down);
      }
    }
    for (const [ifname, rate] of links) {
      const history = this.#history.get(ifname) ?? [];
      this.#history.set(ifname, [...history, rate].slice(-HISTORY));
    }
    for (const ifname of this.#history.keys()) if (!links.has(ifname)) this.#history.delete(ifname);
    this.#at = at;
    this.#status = status;
    this.#connections = connections;
    this.#bytes = carried;
    this.#rates = rates;
  }

  /** The lines of one frame, none longer than the screen is wide. */
  lines(screen: Screen): string[] {
    const status = this.#status;
    if (!status) return [];
    const paint = painter(screen.colour);
    const head = [headline(status, paint), ...this.#links(status.locals, paint), ''];
    const most = Math.max(4, Math.floor((screen.rows - head.length) * 0.6));
    const table = this.#table(most, paint);
    const room = screen.rows - head.length - table.length - 2;
    const last = room > 0 ? this.#decisions.slice(-room) : [];
    const decided =
      last.length > 0 ? ['', paint('dim', 'last decisions'), ...last.map((one) => decision(one, paint))] : [];
    return [...head, ...table, ...decided].slice(0, screen.rows).map((line) => cut(line, screen.columns));
  }

  #links(locals: readonly LocalJson[], paint: Paint): string[] {
    const names = [...new Set(locals.map(({ ifname }) => ifname))];
    if (names.length === 0) return [paint('bad', 'no local address that subflows may use')];
    const highest = Math.max(1, ...[...this.#history.values()].flat());
    return names.map((ifname) => {
      const these = locals.filter((local) => local.ifname === ifname);
      const { role, metered } = these[0]!;
      const history = this.#history.get(ifname) ?? [];
      return [
        paint(role, ifname.padEnd(10)),
        `${role}${metered ? ', metered' : ''}`.padEnd(16),
        paint(role, sparkline(history, highest, 30)),
        bitRate(history.at(-1) ?? 0).padStart(12),
        ` ${paint('dim', these.map(({ ip }) => ip).join(' '))}`,
      ].join(' ');
    });
  }

  #table(rows: number, paint: Paint): string[] {
    if (this.#connections.length === 0) return [paint('dim', 'no MPTCP connections')];
    const lines: string[] = [];
    let shown = 0;
    for (const connection of this.#connections) {
      if (shown > 0 && lines.length + 1 + connection.subflows.length > rows) break;
      lines.push(connectionLine(connection, paint));
      for (const subflow of connection.subflows) {
        lines.push(subflowLine(subflow, this.#rates.get(`${connection.token} ${subflow.key}`), paint));
      }
      shown += 1;
    }
    const left = this.#connections.length - shown;
    return left > 0 ? [...lines, paint('dim', `and ${left} more connections`)] : lines;
  }
}

type Paint = (style: Style, text: string) => string;

export function painter(colour: boolean): Paint {
  return colour ? (style, text) => `\u001b[${SGR[style]}m${text}\u001b[0m` : (_style, text) => text;
}

/** One character a value, oldest first; the newest are shown when there are more than `width`. */
export function sparkline(values: readonly number[], highest: number, width: number): string {
  const marks = values.slice(-width).map((value) => {
    if (value <= 0) return '·';
    return '▁▂▃▄▅▆▇█'[Math.min(7, Math.floor((value / highest) * 8))];
  });
  return marks.join('').padStart(width);
}

/** From bytes a second. */
export function bitRate(rate: number): string {
  const bits = rate * 8;
  for (const [unit, size] of [
    ['Gbit/s', 1e9],
    ['Mbit/s', 1e6],
    ['kbit/s', 1e3],
  ] as const) {
    if (bits >= size) return `${(bits / size).toFixed(1)} ${unit}`;
  }
  return `${Math.round(bits)} bit/s`;
}

/** Shortens a line to so many characters, not counting colour. */
export function cut(line: string, width: number): string {
  let room = width;
  const parts = line.split(COLOUR).map((part, i) => {
    if (i % 2 === 1) return part;
    const kept = [...part].slice(0, room);
    room -= kept.length;
    return kept.join('');
  });
  return parts.join('');
}

function headline(status: StatusJson, paint: Paint): string {
  const parts = [
    `${plural(status.connections, 'connection')}, ${plural(status.subflows, 'subflow')}`,
    `${plural(status.events, 'event')}, ${plural(status.commands.done, 'command')}${status.commands.failed > 0 ? `, ${status.commands.failed} failed` : ''}`,
    `timeouts: ${status.timeouts}`,
  ];
  const error = status.policy.error ? paint('bad', `  policy: ${status.policy.error}`) : '';
  return `${paint('bold', `smappd ${status.version}`)}  ${parts.join('  ')}${error}`;
}

function connectionLine(connection: ConnectionJson, paint: Paint): string {
  const { token, side, app, controller, commanded, local, remote } = connection;
  const by = commanded ? controller : 'in-kernel manager';
  return `${paint('bold', hex(token))} ${side} ${local} -> ${remote}  ${app ? `${app}, ` : ''}${by}`;
}

function subflowLine(subflow: SubflowJson, rate: Rate | undefined, paint: Paint): string {
  const { ifname, local, backup, state, rtt_us, rto_us, retransmits } = subflow;
  const style = backup ? 'backup' : 'primary';
  const readings =
    rtt_us === null || rto_us === null
      ? ''
      : `rtt ${micros(rtt_us)}  rto ${micros(rto_us)}  up ${bitRate(rate?.up ?? 0)}, ${bytes(subflow.bytes_acked)}  down ${bitRate(rate?.down ?? 0)}, ${bytes(subflow.bytes_received)}`;
  const lost = retransmits ? paint('bad', `  retransmits ${retransmits}`) : '';
  return `  ${paint(style, (ifname || '-').padEnd(8))} ${local.padEnd(22)} ${backup ? 'backup ' : ''}${state === 'established' ? '' : `${state} `}${readings}${lost}`;
}

function decision({ at, token, why, command, outcome }: Notice & { kind: 'decision' }, paint: Paint): string {
  const time = timeOfDay(at);
  const bad = outcome?.startsWith('failed') ? paint('bad', ` ${outcome}`) : '';
  return `${paint('dim', `${time} ${hex(token)}`)} ${command ? `${command}: ` : ''}${why}${bad}`;
}
