/** What the demo shows while it runs: on a terminal two lines of links that move, elsewhere plain lines. */
import { bitRate, cut, painter, sparkline } from '../../agent/view.ts';
import { acked, type Link, type Mark, type Point } from './recording.ts';

export interface Output {
  write(text: string): void;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const STYLES = { bad: 'bad', good: 'good', decision: 'bold', probe: 'dim' } as const;
const HISTORY = 40;
/** One character of a sparkline stands for so long; plain output has a line a second. */
const STEP = 500;
const PLAIN_STEP = 1000;

export class Screen {
  #out: Output;
  #links: readonly Link[];
  #size: number;
  #live: boolean;
  #paint: ReturnType<typeof painter>;
  #drawn = 0;
  #stepped: Point = { at: 0, received: 0, subflows: [] };
  #rates: Map<string, number[]>;
  #bad = false;

  constructor(out: Output, links: readonly Link[], size: number, colours: boolean) {
    this.#out = out;
    this.#links = links;
    this.#size = size;
    this.#live = out.isTTY === true;
    this.#paint = painter(this.#live && colours);
    this.#rates = new Map(links.map(({ ifname }) => [ifname, []]));
  }

  say(text: string): void {
    this.#above(text);
  }

  mark({ at, kind, text }: Mark): void {
    if (kind === 'bad' || kind === 'good') this.#bad = kind === 'bad';
    const who = kind === 'decision' || kind === 'probe' ? 'smappd: ' : '';
    this.#above(
      this.#fit(`${this.#paint('dim', seconds(at))}  ${this.#paint(STYLES[kind], `${who}${text}`)}`),
    );
  }

  point(point: Point): void {
    const passed = point.at - this.#stepped.at;
    if (passed >= (this.#live ? STEP : PLAIN_STEP)) {
      for (const { ifname } of this.#links) {
        const gained = acked(point, ifname) - acked(this.#stepped, ifname);
        this.#rates.get(ifname)!.push(gained / (passed / 1000));
      }
      this.#stepped = point;
      if (!this.#live) this.#out.write(`${this.#plain(point)}\n`);
    }
    if (this.#live) this.#redraw(point);
  }

  /** The moving lines stay as they are now. */
  end(): void {
    this.#drawn = 0;
  }

  #plain(point: Point): string {
    const links = this.#links.map(
      ({ ifname, title }) => `${title} ${bitRate(this.#rates.get(ifname)!.at(-1) ?? 0)}`,
    );
    return `${seconds(point.at)}  ${links.join(', ')}, delivered ${byteCount(point.received)}`;
  }

  #redraw(point: Point): void {
    const highest = Math.max(1, ...[...this.#rates.values()].flat());
    const links = this.#links.map((link) => {
      const rates = this.#rates.get(link.ifname)!;
      const weather = this.#bad && link.role === 'primary' ? this.#paint('bad', 'bad ') : '    ';
      return [
        `  ${this.#paint(link.role, link.title.padEnd(6))}${weather}`,
        this.#paint(link.role, sparkline(rates, highest, HISTORY)),
        bitRate(rates.at(-1) ?? 0).padStart(12),
        byteCount(acked(point, link.ifname)).padStart(9),
      ].join(' ');
    });
    const done = Math.min(1, point.received / this.#size);
    const bar = '━'.repeat(Math.round(HISTORY * done)).padEnd(HISTORY, '─');
    const total = `            ${bar} ${`${Math.floor(done * 100)} %`.padStart(12)} ${byteCount(point.received).padStart(9)}  ${seconds(point.at).trim()}`;
    this.#block([...links, total]);
  }

  /** Text that stays, above the lines that move. */
  #above(text: string): void {
    const erase = this.#drawn > 0 ? `\u001b[${this.#drawn}A\u001b[J` : '';
    this.#out.write(`${erase}${text}\n`);
    this.#drawn = 0;
  }

  #block(lines: readonly string[]): void {
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : '';
    this.#out.write(`${up}${lines.map((line) => `${this.#fit(line)}\u001b[K\n`).join('')}`);
    this.#drawn = lines.length;
  }

  #fit(line: string): string {
    return this.#live ? cut(line, this.#out.columns ?? 80) : line;
  }
}

function seconds(at: number): string {
  return `${(at / 1000).toFixed(1)} s`.padStart(7);
}

function byteCount(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
