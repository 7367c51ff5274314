/** How smappctl writes for people: tables, amounts, colours. What scripts read is JSON, and never comes here. */
import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Colours the text only if wanted. */
export type Paint = (style: Style, text: string) => string;

export const painter =
  (colours: boolean): Paint =>
  (style, text) =>
    colours ? styleText(style, text) : text;

/** Columns are as wide as their widest cell; the last one is left ragged. Cells may hold colours. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], paint: Paint): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ''))));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell + ' '.repeat(column < cells.length - 1 ? widths[column]! - width(cell) : 0))
      .join('  ')
      .trimEnd();
  return `${[paint('bold', line(head)), ...rows.map(line)].join('\n')}\n`;
}

/** `name  value` lines with the values in one column. */
export function fields(pairs: readonly (readonly [string, string])[], paint: Paint): string {
  const widest = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${paint('dim', name.padEnd(widest))}  ${value}\n`).join('');
}

const UNITS = ['', 'Ki', 'Mi', 'Gi', 'Ti'];

/** 1536 is "1.5 KiB". */
export function bytes(amount: number | null): string {
  if (amount === null) return '-';
  let rest = amount;
  let unit = 0;
  while (rest >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${unit > 0 && rest < 10 ? rest.toFixed(1) : Math.round(rest)} ${UNITS[unit]}B`;
}

/** Microseconds for people: "850 µs", "12.3 ms", "1.5 s". */
export function micros(amount: number | null): string {
  if (amount === null) return '-';
  if (amount < 1000) return `${amount} µs`;
  if (amount < 1_000_000) return `${(amount / 1000).toFixed(amount < 100_000 ? 1 : 0)} ms`;
  return `${(amount / 1_000_000).toFixed(1)} s`;
}

/** How long ago, from ISO 8601: "4s", "3m", "2h", "5d". */
export function ago(since: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(since)) / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** The time of day with milliseconds, in the local zone. */
export function timeOfDay(at: number | string): string {
  const date = new Date(at);
  const two = (part: number): string => String(part).padStart(2, '0');
  const millis = String(date.getMilliseconds()).padStart(3, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${millis}`;
}

export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

function width(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escape sequences
  return text.replace(/\u001b\[[0-9;]*m/g, '').length;
}
