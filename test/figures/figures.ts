/** SMAPP's figures, from kept results. Each function gives the figure of one file under docs/figures/. */
import type { Result } from '../bench/results.ts';
import type { LabDetail, Samples } from '../mininet/samples.ts';
import type { Axis, Figure, Panel, Series } from './plot.ts';

/** A result whose detail holds samples, as the lab keeps it. */
export type Kept = Result & { readonly detail: LabDetail };

/** Ours first, so that it has the same colour everywhere. */
const ORDER = [
  'smappd',
  'smappd-client',
  'kernel-fullmesh',
  'kernel-backup',
  'mptcpd',
  'ndiffports',
  'plain-tcp',
  'kernel',
];
const SHARE: Axis = { label: 'share', from: 0, to: 1 };

/** Figure 2a: which data left by which path, when. */
export function sequence(backup: Kept): Figure {
  const traces = backup.detail.traces.filter(({ case: under }) => under === 'loss=30').sort(byVariant);
  if (traces.length === 0)
    throw new Error('the results of the backup experiment hold no trace: run it again');
  const to = 12;
  const panels = traces
    .filter(({ variant }) => ['smappd', 'kernel-backup', 'kernel-fullmesh'].includes(variant))
    .map(({ variant, points }): Panel => {
      const shown = points.filter(([at]) => at <= to);
      const path = (device: string): Series['points'] =>
        shown.filter(([, name]) => name === device).map(([at, , sequence]) => [at, sequence / 1e6]);
      return {
        title: variant,
        x: { label: 'time since the connection, s', from: 0, to },
        y: { label: 'data sequence, MB', from: 0, to: 0.8 },
        series: [
          { name: 'primary path', kind: 'dots', points: path('client-eth0') },
          { name: 'backup path', kind: 'dots', points: path('client-eth1') },
        ],
        marks: [{ x: 1, text: '30 % loss on the primary path' }],
      };
    });
  const caption = [
    'Segments that left the client (after the loss on its own side): 64 KiB a second over two paths of 5 Mbit/s and 10 ms.',
    `One run of each. ${origin(backup)}`,
  ];
  return {
    title: '2a. A backup path that stays silent until it is needed',
    columns: 1,
    height: 150,
    panels,
    caption,
  };
}

/** Figure 2b: how late blocks are, at four loss rates. */
export function blockDelay(streaming: Kept): Figure {
  const all = streaming.detail.samples.filter(({ metric }) => metric === 'block_delay');
  const cases = ['loss=10', 'loss=20', 'loss=30', 'loss=40'].filter((under) =>
    all.some((one) => one.case === under),
  );
  const panels = cases.map((under): Panel => {
    const samples = all.filter((one) => one.case === under);
    return {
      title: `${under.replace('loss=', '')} % loss on the first path`,
      x: { label: 'block delay, s', from: 0.1, to: 20, log: true },
      y: SHARE,
      series: cdfs(samples),
      marks: [{ x: 1, text: 'deadline' }],
    };
  });
  const caption = [
    'From when a block of 64 KiB was due (one a second) to when the server had read all of it; blocks that never',
    `arrived keep a line below 1. ${runs(streaming, 'mean_block_delay')}. ${origin(streaming)}`,
  ];
  return { title: '2b. Delay of blocks with a deadline', columns: 2, height: 190, panels, caption };
}

/** Figure 2c: how long 100 MB take over four load-balanced paths. */
export function completion(ecmp: Kept): Figure {
  const samples = ecmp.detail.samples.filter(({ metric }) => metric === 'completion');
  const most = Math.max(
    ...samples.filter(({ variant }) => variant !== 'plain-tcp').flatMap(({ values }) => values),
  );
  const panel: Panel = {
    title: '100 MB over 4 x 8 Mbit/s, 10 to 40 ms',
    x: { label: 'completion time, s', from: 20, to: Math.ceil(most / 10) * 10 },
    y: SHARE,
    series: cdfs(samples.filter(({ variant }) => variant !== 'plain-tcp')),
    marks: [{ x: 26.5, text: 'all four paths full' }],
  };
  const tcp = samples.find(({ variant }) => variant === 'plain-tcp')?.values ?? [];
  const alone =
    tcp.length > 0 ? ` Plain TCP, on one path, took ${Math.min(...tcp).toFixed(0)} s or more.` : '';
  const caption = [
    `Five subflows whose paths the routers choose by a hash of their ports.${alone}`,
    `${runs(ecmp, 'completion')}. ${origin(ecmp)}`,
  ];
  return { title: '2c. Completion time over ECMP', columns: 1, height: 240, panels: [panel], caption };
}

/** Figure 3: how soon after the handshake's SYN the second subflow's SYN leaves. */
export function reaction(bench: Kept): Figure {
  const samples = bench.detail.samples.filter(
    ({ unit, metric }) => unit === 'us' && metric === 'syn_to_join',
  );
  if (samples.length === 0)
    throw new Error('the results of the reaction benchmark hold no syn_to_join samples');
  const values = samples.flatMap((one) => one.values);
  const sorted = [...values].sort((a, b) => a - b);
  const panels = [...new Set(samples.map((one) => one.case))].map((under): Panel => {
    const ours = samples.filter((one) => one.case === under);
    return {
      title: under,
      x: {
        label: 'from SYN to MP_JOIN, µs',
        from: sorted[0]! * 0.9,
        to: sorted[Math.floor(sorted.length * 0.999)]!,
        log: true,
      },
      y: SHARE,
      series: cdfs(ours),
    };
  });
  const caption = [`Packets timestamped in the kernel. ${runs(bench, 'syn_to_join')}. ${origin(bench)}`];
  return {
    title: '3. From the SYN to the MP_JOIN',
    columns: Math.min(2, panels.length),
    height: 220,
    panels,
    caption,
  };
}

/** Share of all values, the missing ones included, that do not exceed x. */
function cdfs(samples: readonly Samples[]): Series[] {
  return [...samples].sort(byVariant).map(({ variant, values, missing }) => {
    const sorted = [...values].sort((a, b) => a - b);
    const all = sorted.length + missing;
    const points = sorted.flatMap((value, index): [number, number][] => [
      [value, index / all],
      [value, (index + 1) / all],
    ]);
    const last = points.at(-1);
    return { name: variant, kind: 'line', points: last ? [...points, [Number.MAX_VALUE, last[1]]] : [] };
  });
}

function byVariant(a: { readonly variant: string }, b: { readonly variant: string }): number {
  return placeOf(a.variant) - placeOf(b.variant);
}

function placeOf(variant: string): number {
  const place = ORDER.indexOf(variant);
  return place < 0 ? ORDER.length : place;
}

function origin({ kernel, when }: Kept): string {
  return `Linux ${kernel}, ${when.slice(0, 10)}.`;
}

/** How many runs there were of each variant: one number when it is the same for all. */
function runs({ detail: { samples } }: Kept, metric: string): string {
  const counts = new Map<string, number>();
  for (const one of samples.filter((sample) => sample.metric === metric))
    counts.set(one.variant, one.values.length + one.missing);
  const distinct = [...new Set(counts.values())];
  if (distinct.length === 1) return `${distinct[0]} runs of each`;
  return `Runs: ${[...counts].map(([variant, count]) => `${variant} ${count}`).join(', ')}`;
}
