/** MiMBox's figures 4, 5 and 6 and its table 1 (HotMiddlebox'13), from the converter's benchmark. */
import type { Result, Row } from '../bench/results.ts';
import type { Figure, Series } from './plot.ts';

/** Ours and the baseline first, so that they have the same colours everywhere. */
const ORDER = ['converter', 'forward', 'haproxy', 'recvsend', 'splice', 'uring', 'squid', 'node-pipe'];
/** Ways of the converter that differ only while a connection is opened. */
const HERE = new Set(ORDER);

/** Figure 4: goodput over the size of segments. */
export function goodputOverSegments(from: Result): Figure {
  const of = (row: Row) => (row.case === 'default' ? 1500 : Number(/^mtu=(\d+)$/.exec(row.case)?.[1]));
  const series = lines(from, 'goodput', of);
  return {
    title: 'Goodput over the size of packets',
    columns: 1,
    height: 260,
    panels: [
      {
        title: 'one download',
        x: { label: 'MTU, bytes', from: 250, to: 1550 },
        y: { label: 'goodput, Mbit/s', from: 0, to: most(series) },
        series,
      },
    ],
    caption: [`Medians; client, relay and server share this machine's processors. ${origin(from)}`],
  };
}

/** Figure 5: requests a second over the size of the response, 40 clients. */
export function requestsOverSize(from: Result): Figure {
  const of = (row: Row) => Number(/^size=(\d+)$/.exec(row.case)?.[1]) / 1024;
  const series = lines(from, 'requests', of);
  const cost = lines(from, 'relay_time', of);
  const x = { label: 'size, KiB', from: 0.9, to: 1100, log: true };
  return {
    title: 'Short connections',
    columns: 2,
    height: 260,
    panels: [
      {
        title: 'requests a second, 40 clients',
        x,
        y: { label: '1/s', from: least(series), to: most(series), log: true },
        series,
      },
      {
        title: 'processor time of the relay, a request',
        x,
        y: { label: 'µs', from: least(cost), to: most(cost), log: true },
        series: cost,
      },
    ],
    caption: [`Medians; a new MPTCP connection for each request. ${origin(from)}`],
  };
}

/** Figure 6: goodput over the memory of a socket. */
export function goodputOverBuffers(from: Result): Figure {
  const of = (row: Row) => Number(/^buffer=(\d+)kB$/.exec(row.case)?.[1]);
  const [direct] = rowsOf(from, 'goodput').filter((row) => row.case === 'buffer=default');
  const level = direct?.median ?? Number.NaN;
  return {
    title: 'Memory that a connection needs',
    columns: 1,
    height: 240,
    panels: [
      {
        title: '8 Mbit/s, 20 ms and 2 Mbit/s, 80 ms, both in use',
        x: { label: 'send and receive buffer of each socket, kB', from: 20, to: 900, log: true },
        y: { label: 'goodput, Mbit/s', from: 0, to: 11 },
        series: [
          ...lines(from, 'goodput', of),
          {
            name: 'without a converter, default buffers',
            kind: 'line',
            points: [
              [20, level],
              [900, level],
            ],
          },
        ],
      },
    ],
    caption: [`Medians of downloads of 4 MB. ${origin(from)}`],
  };
}

/** Table 1 as distributions: what a relay adds to a SYN, and to data. */
export function addedDelay(from: Result): Figure {
  const panel = (metric: string, title: string) => ({
    title,
    x: { label: 'µs', from: 2, to: 30_000, log: true },
    y: { label: 'share', from: 0, to: 1 },
    series: from.rows
      .filter((row) => row.metric === metric && row.variant !== 'node-pipe')
      .map(
        ({ variant, min, median, p90, p99, max }): Series => ({
          name: variant.replace('converter-', 'ours: '),
          kind: 'line',
          points: [
            [min, 0],
            [median, 0.5],
            [p90, 0.9],
            [p99, 0.99],
            [max, 1],
          ],
        }),
      ),
  });
  return {
    title: 'How long packets stay in the relay',
    columns: 2,
    height: 260,
    panels: [panel('syn_to_syn', "the client's SYN"), panel('data_delay', 'data of 1400 bytes')],
    caption: [
      'From one interface to the other by the kernel’s timestamps, 10 ms of round trip to the client; drawn through',
      `minimum, median, p90, p99 and maximum. ${origin(from)}`,
    ],
  };
}

function rowsOf({ rows }: Result, metric: string): Row[] {
  return rows
    .filter((row) => row.metric === metric && HERE.has(row.variant))
    .sort((a, b) => ORDER.indexOf(a.variant) - ORDER.indexOf(b.variant));
}

/** A line a variant through the medians of the rows for which `x` is a number. */
function lines(from: Result, metric: string, x: (row: Row) => number): Series[] {
  const points = new Map<string, (readonly [number, number])[]>();
  for (const row of rowsOf(from, metric)) {
    const at = x(row);
    if (Number.isNaN(at)) continue;
    points.set(row.variant, [...(points.get(row.variant) ?? []), [at, row.median]]);
  }
  if (points.size === 0) throw new Error(`the results hold no rows of ${metric} for this figure`);
  return [...points].map(([name, all]) => ({
    name,
    kind: 'line',
    points: all.sort(([a], [b]) => a - b),
  }));
}

const values = (series: readonly Series[]) => series.flatMap(({ points }) => points.map(([, y]) => y));
const most = (series: readonly Series[]) => Math.max(...values(series)) * 1.1;
const least = (series: readonly Series[]) => Math.min(...values(series)) * 0.9;

function origin({ kernel, when }: Result): string {
  return `Linux ${kernel}, ${when.slice(0, 10)}.`;
}
