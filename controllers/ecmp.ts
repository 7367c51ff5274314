/**
 * ecmp: several subflows over paths that routers choose by a hash of the ports; finds ports that use them all.
 *
 * SMAPP section 4.4 closes the subflow with the lowest pacing rate every 2.5 s, and hopes for a better port. On today's
 * kernel that is slower than doing nothing, because with each close the kernel sends again all that the connection
 * has under way (net/mptcp/protocol.c, __mptcp_retransmit_pending_data). Here ports are tried before they are used: a ping
 * from a port takes the path that a subflow from it would take. The subflows in use fill the queues of their paths,
 * so an answer that takes as long as none of them has come over a path that nobody uses. A subflow is opened from
 * that port, and the slowest one demoted by MP_PRIO. Nothing is closed while there is data.
 */
import { type Connection, defineController, type Millis, type Subflow } from './controller.ts';
import { count, duration, ratio } from './params.ts';

const PORT_IN_USE = 98;
const CLOSED_BY_US = 103;
/** Linux chooses ports from here by default (net.ipv4.ip_local_port_range). */
const PORTS = { first: 32_768, count: 28_232 };

export default defineController({
  name: 'ecmp',
  summary: 'N subflows between two addresses, and a search for ports that lead over unused balanced paths.',
  params: {
    subflows: count(5, 'subflows that carry data'),
    joins: count(8, 'most subflows besides the first; a server on Linux without a daemon takes eight'),
    pings: count(16, 'ports that are tried at a time'),
    rounds: count(6, 'times that ports are tried in one search'),
    period: duration(
      '500ms',
      'time between them: long enough for a new subflow to fill the queue of its path',
    ),
    apart: ratio(
      0.15,
      'an answer whose time differs by more than this share from every round trip in use has come over an unused path',
    ),
    pause: duration('1m', 'time from one search to the next: paths may change'),
  },

  attach(conn, { subflows, joins, pings, rounds, period, apart, pause }) {
    if (conn.side !== 'client') return {};
    const before = new Map<string, number>();
    let carried = new Map<Subflow, number>();
    let room = joins;
    let round = 0;
    /** Ports that seemed to be on unused paths, one a path: asked again, because queues may have changed meanwhile. */
    const promising = new Map<number, Millis>();
    let found: Millis[] = [];

    const active = (): Subflow[] => conn.subflows.filter(({ backup }) => !backup);

    function search(): void {
      carried = new Map(
        active().map((subflow) => {
          const bytes = progress(conn, subflow, before);
          // One that has come meanwhile is not slow for that.
          return [subflow, round > 0 && conn.now() - subflow.since < period ? Number.MAX_VALUE : bytes];
        }),
      );
      if ([...carried.values()].every((bytes) => bytes === 0)) return rest();
      if (conn.opening.length > 0 || round >= rounds) return;
      const missing = subflows - active().length;
      if (missing > 0) return refill(missing);
      if (conn.subflows.length > room) return;
      round += 1;
      if (round === rounds) conn.after(pause, () => (round = 0));
      found = [];
      promising.clear();
      const ports = Array.from(
        { length: pings },
        () => PORTS.first + Math.floor(conn.random() * PORTS.count),
      );
      ask(ports, `is there an unused path? Round ${round} of ${rounds}`);
    }

    function refill(missing: number): void {
      const idle = conn.subflows.filter(({ backup }) => backup).slice(0, missing);
      for (const subflow of idle)
        conn.do({ kind: 'backup', subflow, on: false }, `${subflows} subflows wanted`);
      const free = room - (conn.subflows.length - 1);
      for (let i = idle.length; i < missing && i - idle.length < free; i++)
        open(conn, `${subflows} subflows wanted`);
    }

    /** Nothing is under way, so nothing is sent again by closing. */
    function rest(): void {
      const state = conn.readConnection();
      if (!state || state.sndUna !== state.writeSeq) return;
      for (const subflow of conn.subflows.filter(({ backup }) => backup))
        conn.do({ kind: 'close', subflow }, 'not needed');
    }

    function ask(ports: readonly number[], why: string): void {
      const path = samePath(conn);
      if (path) conn.do({ kind: 'ping', ...path, ports }, why);
    }

    const unlike = (took: Millis, others: readonly Millis[]): boolean =>
      others.every((other) => Math.abs(took - other) > apart * other);

    return {
      established() {
        for (let made = conn.subflows.length; made < subflows; made++)
          open(conn, `${subflows} subflows wanted`);
        conn.every(period, search);
      },
      pong({ port }, took) {
        const used = active().flatMap((subflow) => conn.read(subflow)?.srtt ?? []);
        const isNew = unlike(took, used) && unlike(took, found);
        if (!promising.delete(port)) {
          if (!isNew || !unlike(took, [...promising.values()])) return;
          promising.set(port, took);
          return ask(
            [port],
            `an answer took ${Math.round(took)} ms, round trips in use ${used.map(Math.round).join(', ')} ms`,
          );
        }
        if (!isNew || conn.subflows.length + conn.opening.length > room) return;
        found.push(took);
        open(
          conn,
          `twice an answer to this port came over an unused path, now in ${Math.round(took)} ms`,
          port,
        );
      },
      subflowUp(_, opened) {
        if (!opened?.localPort) return;
        const known = active().filter((subflow) => carried.has(subflow));
        const slowest = known.sort((a, b) => carried.get(a)! - carried.get(b)!);
        for (const subflow of slowest.slice(0, active().length - subflows))
          conn.do(
            { kind: 'backup', subflow, on: true },
            `the slowest: ${carried.get(subflow)} B in ${period} ms`,
          );
      },
      subflowDown(subflow, errno) {
        before.delete(subflow.key);
        // A peer that takes no more says so after the handshake.
        if (errno !== CLOSED_BY_US && conn.now() - subflow.since < period) room = conn.subflows.length - 1;
      },
      failed(command, { errno }) {
        if (command.kind === 'ping') round = rounds;
        if (command.kind === 'open' && errno !== PORT_IN_USE) room = conn.subflows.length - 1;
      },
    };
  },
});

/** Between the addresses of the first subflow. */
function samePath({ subflows: [first], locals, remotes }: Connection) {
  const local = locals.find(({ ip }) => ip === first?.local.ip);
  const remote = remotes.find(({ id }) => id === first?.remoteId);
  return local && remote && { local, remote };
}

function open(conn: Connection, why: string, localPort = 0): void {
  const path = samePath(conn);
  if (path) conn.do({ kind: 'open', ...path, backup: false, localPort }, why);
}

/** Bytes acknowledged since it was last asked. */
function progress(conn: Connection, subflow: Subflow, before: Map<string, number>): number {
  const now = conn.read(subflow)?.bytesAcked ?? 0;
  const then = before.get(subflow.key) ?? 0;
  before.set(subflow.key, now);
  return now - then;
}
