/** The demo's transfer as an SVG: bytes over time, coloured by link, with the decisions marked. */
import { acked, type Link, type Mark, type Point, type Recording, type Result } from './recording.ts';

/** Colours that colour-blind readers can tell apart (Okabe and Ito). */
export const COLOURS = { primary: '#0072b2', backup: '#e69f00', bad: '#d55e00', good: '#009e73' } as const;
const INK = '#24292f';
const FAINT = '#6e7781';
const GRID = '#e4e7eb';
const WIDTH = 960;
const LEFT = 68;
const RIGHT = 24;
const BYTES = { top: 84, height: 260 };
const RATE = { top: 414, height: 110 };
/** Rates are means over at least so many milliseconds. */
const RATE_WINDOW = 400;
const LINE = 19;

export function chart(recording: Recording, result: Result, caption: string): string {
  const { points, links, marks } = recording;
  const span = Math.max(1000, points.at(-1)?.at ?? 0);
  const x = (at: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * at) / span;
  const decisions = marks.filter(({ kind }) => kind === 'decision');
  const notes = decisions.slice(0, MAX_NOTES);
  const legendTop = RATE.top + RATE.height + 66;
  const height = legendTop + notes.length * LINE + (decisions.length > notes.length ? LINE : 0) + 34;
  const most = Math.max(1, points.at(-1)?.received ?? 0);
  const rates = links.map((link) => ratesOf(points, link.ifname));
  const fastest = Math.max(1, ...rates.flat().map(({ rate }) => rate));
  const megabytes = axis(most / 1e6);
  const megabits = axis(fastest);
  const yBytes = (bytes: number): number => BYTES.top + BYTES.height * (1 - bytes / 1e6 / megabytes.end);
  const yRate = (rate: number): number => RATE.top + RATE.height * (1 - rate / megabits.end);

  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="'DejaVu Sans',Verdana,sans-serif" font-size="12" fill="${INK}">`,
    `<title>${escaped(headline(recording, result))}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(LEFT, 30, headline(recording, result), 'font-size="17" font-weight="bold"'),
    text(LEFT, 50, figures(result), `fill="${FAINT}"`),
    legend(links),
    badWeather(marks, x, span),
    ...gridLines(megabytes, yBytes, (value) => value * 1e6),
    ...gridLines(megabits, yRate, (value) => value),
    ...seconds(span, x),
    axisTitle('delivered, MB', BYTES),
    axisTitle('acked, Mbit/s', RATE),
    ...delivered(points, links).map(
      ({ role, path }) =>
        `<path d="${line(path, x, yBytes)}" fill="none" stroke="${COLOURS[role]}" stroke-width="3.5" stroke-linejoin="round" stroke-linecap="round"/>`,
    ),
    ...links.map((link, i) => rateArea(rates[i]!, COLOURS[link.role], x, yRate)),
    probeMarks(marks, x),
    ...decisionMarks(notes, x),
    ...notes.map((mark, i) => note(mark, i, legendTop + i * LINE)),
    decisions.length > notes.length
      ? text(
          LEFT,
          legendTop + notes.length * LINE + 4,
          `and ${decisions.length - notes.length} more`,
          `fill="${FAINT}"`,
        )
      : '',
    text(LEFT, height - 12, caption, `fill="${FAINT}" font-size="11"`),
    '</svg>',
    '',
  ].join('\n');
}

const MAX_NOTES = 14;

function headline({ links }: Recording, result: Result): string {
  const name = (role: Link['role']) => links.find((link) => link.role === role)!.title;
  if (!result.completed) return 'The transfer did not complete';
  const end = result.returned_to_primary ? `, and back on ${name('primary')}` : '';
  return `${(result.bytes / 1e6).toFixed(0)} MB begun on ${name('primary')}, carried on over ${name('backup')}${end}`;
}

function figures(result: Result): string {
  const parts = [
    result.failover_ms === null ? undefined : `failover ${ms(result.failover_ms)}`,
    result.stall_ms_max === null ? undefined : `longest stall ${ms(result.stall_ms_max)}`,
    result.return_ms === null ? undefined : `back after ${ms(result.return_ms)}`,
    result.bytes_on_backup_before_failure === null
      ? undefined
      : `${result.bytes_on_backup_before_failure} bytes on the backup before the failure`,
    result.sha256_ok ? 'SHA-256 equal' : undefined,
  ];
  return parts.filter((part) => part !== undefined).join('  ·  ');
}

function ms(value: number): string {
  return value < 1000 ? `${value} ms` : `${(value / 1000).toFixed(1)} s`;
}

function legend(links: readonly Link[]): string {
  return links
    .map((link, i) => {
      const left = WIDTH - RIGHT - (links.length - i) * 104;
      return `<rect x="${left}" y="19" width="22" height="6" rx="3" fill="${COLOURS[link.role]}"/>${text(left + 28, 26, `${link.title}`)}`;
    })
    .join('');
}

/** Shades the time in which the primary link was bad. */
function badWeather(marks: readonly Mark[], x: (at: number) => number, span: number): string {
  const from = marks.find(({ kind }) => kind === 'bad');
  if (!from) return '';
  const until = marks.find(({ kind }) => kind === 'good')?.at ?? span;
  const height = RATE.top + RATE.height - BYTES.top;
  return [
    `<rect x="${x(from.at).toFixed(1)}" y="${BYTES.top}" width="${(x(until) - x(from.at)).toFixed(1)}" height="${height}" fill="${COLOURS.bad}" opacity="0.09"/>`,
    text(x(from.at), BYTES.top - 8, from.text, `fill="${COLOURS.bad}"`),
  ].join('\n');
}

/** A round step, so that it takes at most `steps` to get to `most`. */
function axis(most: number, steps = 5): { end: number; step: number } {
  const power = 10 ** Math.floor(Math.log10(most));
  const step =
    [0.2, 0.5, 1, 2, 5].map((factor) => factor * power).find((size) => most / size <= steps) ?? power;
  return { end: Math.ceil(most / step) * step, step };
}

function gridLines(
  { end, step }: { end: number; step: number },
  y: (value: number) => number,
  value: (tick: number) => number,
): string[] {
  const lines: string[] = [];
  for (let i = 0; i * step <= end + step / 2; i++) {
    const at = y(value(i * step)).toFixed(1);
    lines.push(
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" stroke="${i === 0 ? FAINT : GRID}"/>`,
      text(
        LEFT - 8,
        Number(at) + 4,
        String(Number((i * step).toPrecision(6))),
        `text-anchor="end" fill="${FAINT}"`,
      ),
    );
  }
  return lines;
}

function seconds(span: number, x: (at: number) => number): string[] {
  const { step } = axis(span / 1000, 8);
  const bottom = RATE.top + RATE.height;
  const ticks: string[] = [];
  for (let second = 0; second * 1000 <= span; second += step) {
    ticks.push(
      text(
        x(second * 1000),
        bottom + 18,
        `${Number(second.toPrecision(6))} s`,
        `text-anchor="middle" fill="${FAINT}"`,
      ),
    );
  }
  return ticks;
}

function axisTitle(title: string, { top, height }: { top: number; height: number }): string {
  const y = top + height / 2;
  return `<text x="18" y="${y}" transform="rotate(-90 18 ${y})" text-anchor="middle" fill="${FAINT}">${title}</text>`;
}

/** The line of delivered bytes, cut into stretches by the link that carried most at the time. */
function delivered(
  points: readonly Point[],
  links: readonly Link[],
): { role: Link['role']; path: [number, number][] }[] {
  const stretches: { role: Link['role']; path: [number, number][] }[] = [];
  let previous: Point | undefined;
  for (const point of points) {
    const gains = links.map(({ ifname }) => acked(point, ifname) - acked(previous, ifname));
    const best = gains.indexOf(Math.max(...gains));
    const role = gains[best]! > 0 ? links[best]!.role : stretches.at(-1)?.role;
    if (role !== undefined) {
      if (stretches.at(-1)?.role !== role) {
        stretches.push({ role, path: previous ? [[previous.at, previous.received]] : [] });
      }
      stretches.at(-1)!.path.push([point.at, point.received]);
    }
    previous = point;
  }
  return stretches;
}

function ratesOf(points: readonly Point[], ifname: string): { at: number; rate: number }[] {
  let from = 0;
  return points.map((point, i) => {
    while (from < i && point.at - points[from + 1]!.at >= RATE_WINDOW) from++;
    const then = points[from]!;
    const time = point.at - then.at;
    const gain = acked(point, ifname) - acked(then, ifname);
    return { at: point.at, rate: time > 0 ? (gain * 8) / 1e6 / (time / 1000) : 0 };
  });
}

function rateArea(
  rates: readonly { at: number; rate: number }[],
  colour: string,
  x: (at: number) => number,
  y: (rate: number) => number,
): string {
  const [first] = rates;
  const last = rates.at(-1);
  if (!first || !last) return '';
  const top = line(
    rates.map(({ at, rate }) => [at, rate]),
    x,
    y,
  );
  const closed = `${top}L${x(last.at).toFixed(1)} ${y(0).toFixed(1)}L${x(first.at).toFixed(1)} ${y(0).toFixed(1)}Z`;
  return `<path d="${closed}" fill="${colour}" opacity="0.25"/><path d="${top}" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
}

function line(
  path: readonly (readonly [number, number])[],
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  return path
    .map(([at, value], i) => `${i === 0 ? 'M' : 'L'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`)
    .join('');
}

function decisionMarks(notes: readonly Mark[], x: (at: number) => number): string[] {
  const bottom = RATE.top + RATE.height;
  let shifted = Number.NEGATIVE_INFINITY;
  return notes.map(({ at }, i) => {
    const centre = x(at);
    shifted = Math.max(centre, shifted + 18);
    return [
      `<line x1="${centre.toFixed(1)}" x2="${centre.toFixed(1)}" y1="${BYTES.top}" y2="${bottom}" stroke="${INK}" stroke-dasharray="2 4" opacity="0.55"/>`,
      badge(shifted, BYTES.top + BYTES.height + 19, i + 1),
    ].join('');
  });
}

/** Probes are ticks above the time axis. */
function probeMarks(marks: readonly Mark[], x: (at: number) => number): string {
  const y = RATE.top - 8;
  const ticks = marks.filter(({ kind }) => kind === 'probe').map(({ at }) => `M${x(at).toFixed(1)} ${y}v-8`);
  const [first] = marks.filter(({ kind }) => kind === 'probe');
  if (!first) return '';
  return `<path d="${ticks.join('')}" stroke="${FAINT}"/>${text(x(first.at) - 6, y, 'probes', `text-anchor="end" fill="${FAINT}" font-size="11"`)}`;
}

function badge(x: number, y: number, number: number): string {
  return `<circle cx="${x.toFixed(1)}" cy="${y}" r="8.5" fill="#fff" stroke="${INK}"/>${text(x, y + 4, String(number), 'text-anchor="middle" font-size="10.5"')}`;
}

function note(mark: Mark, index: number, y: number): string {
  return [
    badge(LEFT + 8, y, index + 1),
    text(LEFT + 62, y + 4, `${(mark.at / 1000).toFixed(1)} s`, `text-anchor="end" fill="${FAINT}"`),
    text(LEFT + 74, y + 4, mark.text),
  ].join('');
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${attributes ? ` ${attributes}` : ''}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
