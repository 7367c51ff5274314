/**
 * Draws figures as SVG: panels with axes, lines or dots, one legend, and a caption that says what was measured.
 * Readable on light and dark pages: the picture brings its background and follows the reader's preference.
 */

export interface Axis {
  readonly label: string;
  readonly from: number;
  readonly to: number;
  readonly log?: boolean;
}

export interface Series {
  readonly name: string;
  readonly kind: 'line' | 'dots';
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Vertical lines with a word. */
  readonly marks?: readonly { readonly x: number; readonly text: string }[];
}

export interface Figure {
  readonly title: string;
  /** Lines of text below the panels. */
  readonly caption: readonly string[];
  readonly columns: number;
  /** Height of a panel's plot area. */
  readonly height: number;
  readonly panels: readonly Panel[];
}

const WIDTH = 860;
const MARGIN = { left: 62, right: 18, top: 26, bottom: 46 };
/** Okabe and Ito's colours, told apart by colour-blind readers, in tones that show on white and on black. */
const COLOURS = ['#0072b2', '#e6820e', '#009e73', '#cc79a7', '#999999', '#b8a000', '#56b4e9'];
const DASHES = ['', '7 3', '2 3', '10 3 2 3', '4 4', '1 3', '12 4'];

const STYLE = `
    .page { fill: #ffffff } text { fill: #24292f } .quiet { fill: #57606a } .grid { stroke: #d8dee4 } .axis { stroke: #57606a }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #2f363d } .axis { stroke: #9198a1 }
    }`;

export function draw(figure: Figure): string {
  const names = [...new Set(figure.panels.flatMap(({ series }) => series.map(({ name }) => name)))];
  const columnWidth = WIDTH / figure.columns;
  const rowHeight = MARGIN.top + figure.height + MARGIN.bottom;
  const rows = Math.ceil(figure.panels.length / figure.columns);
  const captionTop = 70 + rows * rowHeight + 8;
  const height = captionTop + figure.caption.length * 17 + 8;
  const panels = figure.panels.map((panel, index) => {
    const left = (index % figure.columns) * columnWidth + MARGIN.left;
    const top = 70 + Math.floor(index / figure.columns) * rowHeight + MARGIN.top;
    const width = columnWidth - MARGIN.left - MARGIN.right;
    return `<g transform="translate(${round(left)} ${round(top)})">\n${drawPanel(panel, width, figure.height, names)}\n</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="12">`,
    `<title>${escaped(figure.title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}"/>`,
    `<text x="16" y="26" font-size="17" font-weight="bold">${escaped(figure.title)}</text>`,
    legend(figure, names),
    ...panels,
    ...figure.caption.map(
      (line, i) => `<text class="quiet" x="16" y="${captionTop + i * 17}">${escaped(line)}</text>`,
    ),
    '</svg>\n',
  ].join('\n');
}

function legend({ panels }: Figure, names: readonly string[]): string {
  let x = 16;
  return names
    .map((name, index) => {
      const kind = panels.flatMap(({ series }) => series).find((one) => one.name === name)!.kind;
      const dash = kind === 'dots' ? '' : ` stroke-dasharray="${DASHES[index]}"`;
      const line = `<path d="M${x} 48h26" stroke="${COLOURS[index]}" stroke-width="${kind === 'dots' ? 5 : 2.5}"${dash}/>`;
      const label = `<text x="${x + 32}" y="52">${escaped(name)}</text>`;
      x += 56 + name.length * 7;
      return line + label;
    })
    .join('\n');
}

function drawPanel(panel: Panel, width: number, height: number, names: readonly string[]): string {
  const x = scale(panel.x, 0, width);
  const y = scale(panel.y, height, 0);
  const inside = (value: number, { from, to }: Axis) => value >= from && value <= to;
  const parts = [`<text x="0" y="-9" font-weight="bold">${escaped(panel.title)}</text>`];
  for (const tick of ticks(panel.x)) {
    const at = round(x(tick));
    parts.push(`<path class="grid" d="M${at} 0V${height}"/>`);
    parts.push(`<text x="${at}" y="${height + 16}" text-anchor="middle">${label(tick)}</text>`);
  }
  for (const tick of ticks(panel.y)) {
    const at = round(y(tick));
    parts.push(`<path class="grid" d="M0 ${at}H${round(width)}"/>`);
    parts.push(`<text x="-7" y="${at + 4}" text-anchor="end">${label(tick)}</text>`);
  }
  parts.push(`<path class="axis" d="M0 0V${height}H${round(width)}" fill="none"/>`);
  parts.push(
    `<text class="quiet" x="${round(width / 2)}" y="${height + 34}" text-anchor="middle">${escaped(panel.x.label)}</text>`,
  );
  parts.push(
    `<text class="quiet" transform="translate(-46 ${height / 2}) rotate(-90)" text-anchor="middle">${escaped(panel.y.label)}</text>`,
  );
  for (const mark of panel.marks ?? []) {
    const at = round(x(mark.x));
    parts.push(`<path class="axis" stroke-dasharray="3 3" d="M${at} 0V${height}"/>`);
    parts.push(
      `<text class="quiet" x="${at + 5}" y="${panel.series[0]?.kind === 'dots' ? 13 : height - 8}">${escaped(mark.text)}</text>`,
    );
  }
  for (const { name, kind, points } of panel.series) {
    const index = names.indexOf(name);
    const shown =
      kind === 'dots' ? points.filter(([px, py]) => inside(px, panel.x) && inside(py, panel.y)) : points;
    const placed = shown.map(
      ([px, py]) => [round(x(clamp(px, panel.x))), round(y(clamp(py, panel.y)))] as const,
    );
    const style =
      kind === 'dots'
        ? 'stroke-width="3" stroke-linecap="round"'
        : `stroke-width="2" stroke-linejoin="round" stroke-dasharray="${DASHES[index]}"`;
    parts.push(
      `<path d="${kind === 'dots' ? dots(placed) : line(placed)}" fill="none" stroke="${COLOURS[index]}" ${style}/>`,
    );
  }
  return parts.join('\n');
}

function scale({ from, to, log }: Axis, low: number, high: number): (value: number) => number {
  const turn = log ? Math.log10 : (value: number) => value;
  return (value) => low + ((turn(value) - turn(from)) / (turn(to) - turn(from))) * (high - low);
}

function clamp(value: number, { from, to }: Axis): number {
  return Math.min(to, Math.max(from, value));
}

/** Powers of ten with 2 and 5 between them, or round steps so that there are four to eight. */
function ticks({ from, to, log }: Axis): number[] {
  if (log) {
    const found: number[] = [];
    const wide = to / from > 2000;
    for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++)
      for (const digit of wide ? [1] : [1, 2, 5]) found.push(Number((digit * 10 ** power).toPrecision(3)));
    return found.filter((tick) => tick >= from * 0.999 && tick <= to * 1.001);
  }
  const rough = (to - from) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= rough * 0.999)!;
  const first = Math.ceil(from / step) * step;
  return Array.from({ length: Math.floor((to - first) / step + 1.001) }, (_, i) => first + i * step);
}

/** A dot is a stroke of no length with round ends; those that would hide behind another are left out. */
function dots(points: readonly (readonly [number, number])[]): string {
  const seen = new Set<string>();
  return points
    .filter(([x, y]) => {
      const cell = `${Math.round(x / 1.5)} ${Math.round(y / 1.5)}`;
      return !seen.has(cell) && seen.add(cell);
    })
    .map(([x, y]) => `M${x} ${y}h0`)
    .join('');
}

function line(points: readonly (readonly [number, number])[]): string {
  return points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${x} ${y}`).join('');
}

function label(tick: number): string {
  return String(Number(tick.toPrecision(4)));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
