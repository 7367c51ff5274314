/** What a run of the demo recorded, and the figures that follow from it. Times are milliseconds from its start. */

export interface Recording {
  readonly links: readonly Link[];
  /** Bytes to transfer. */
  readonly size: number;
  /** One reading every 50 ms or so, oldest first. */
  readonly points: readonly Point[];
  readonly marks: readonly Mark[];
  /** From the ends of the transfer; absent when it did not come to its end. */
  readonly end: { readonly at: number; readonly received: number; readonly sha256Ok: boolean } | undefined;
}

export interface Link {
  readonly ifname: string;
  readonly title: string;
  readonly role: 'primary' | 'backup';
}

export interface Point {
  readonly at: number;
  /** Bytes that the application at the other end has read. */
  readonly received: number;
  /** All subflows so far, in order of appearance, those that are gone too. */
  readonly subflows: readonly Reading[];
}

export interface Reading {
  /** `LOCAL:PORT-REMOTE:PORT` */
  readonly key: string;
  readonly ifname: string;
  /** Bytes that the peer acknowledged on this subflow (TCP_INFO). */
  readonly acked: number;
}

/** A moment worth a line: the weather changed, or the daemon decided something. */
export interface Mark {
  readonly at: number;
  /** A probe is a decision about a subflow that carries no data: it tries whether a link is good again. */
  readonly kind: 'bad' | 'good' | 'decision' | 'probe';
  readonly text: string;
}

export interface Result {
  readonly completed: boolean;
  readonly sha256_ok: boolean;
  /** From the moment that the primary link goes bad to the first byte acknowledged on the backup. */
  readonly failover_ms: number | null;
  readonly bytes_on_backup_before_failure: number | null;
  /** The longest time in which the receiving application got nothing, from the first byte to the last. */
  readonly stall_ms_max: number | null;
  /** After it recovered, the primary link carried data again, and the transfer's last second all of it. */
  readonly returned_to_primary: boolean;
  /** From the moment that the primary link is good again to the first byte acknowledged on it. */
  readonly return_ms: number | null;
  readonly bytes: number;
  readonly seconds: number | null;
  readonly acknowledged: Readonly<Record<string, number>>;
  readonly subflows: number;
  readonly decisions: number;
}

export function measure({ links, size, points, marks, end }: Recording): Result {
  const primary = links.find(({ role }) => role === 'primary')!.ifname;
  const backup = links.find(({ role }) => role === 'backup')!.ifname;
  const bad = marks.find(({ kind }) => kind === 'bad')?.at;
  const good = marks.find(({ kind }) => kind === 'good')?.at;
  const last = points.at(-1);
  const failover = bad === undefined ? undefined : firstAfter(points, bad, backup);
  const back = good === undefined ? undefined : firstAfter(points, good, primary);
  return {
    completed: end?.received === size,
    sha256_ok: end?.sha256Ok ?? false,
    failover_ms: bad === undefined || failover === undefined ? null : Math.round(failover - bad),
    bytes_on_backup_before_failure: bad === undefined ? null : acked(before(points, bad), backup),
    stall_ms_max: longestStall(points),
    returned_to_primary: back !== undefined && lastSecondOn(points, primary, backup),
    return_ms: good === undefined || back === undefined ? null : Math.round(back - good),
    bytes: size,
    seconds: end ? Math.round(end.at) / 1000 : null,
    acknowledged: Object.fromEntries(links.map(({ ifname }) => [ifname, acked(last, ifname)])),
    subflows: last?.subflows.length ?? 0,
    decisions: marks.filter(({ kind }) => kind === 'decision').length,
  };
}

/** Bytes acknowledged over one interface so far. */
export function acked(point: Point | undefined, ifname: string): number {
  const readings = point?.subflows.filter((reading) => reading.ifname === ifname) ?? [];
  return readings.reduce((sum, reading) => sum + reading.acked, 0);
}

function before(points: readonly Point[], at: number): Point | undefined {
  return points.findLast((point) => point.at <= at);
}

function firstAfter(points: readonly Point[], at: number, ifname: string): number | undefined {
  const then = acked(before(points, at), ifname);
  return points.find((point) => point.at > at && acked(point, ifname) > then)?.at;
}

function longestStall(points: readonly Point[]): number | null {
  let longest: number | undefined;
  let progress: Point | undefined;
  for (const point of points) {
    if (point.received === (progress?.received ?? 0)) continue;
    if (progress) longest = Math.max(longest ?? 0, point.at - progress.at);
    progress = point;
  }
  return longest === undefined ? null : Math.round(longest);
}

function lastSecondOn(points: readonly Point[], primary: string, backup: string): boolean {
  const carrying = points.findLast((point, i) => i > 0 && total(point) > total(points[i - 1]!));
  if (!carrying) return false;
  const then = before(points, carrying.at - 1000);
  return acked(carrying, primary) > acked(then, primary) && acked(carrying, backup) === acked(then, backup);
}

function total({ subflows }: Point): number {
  return subflows.reduce((sum, reading) => sum + reading.acked, 0);
}
