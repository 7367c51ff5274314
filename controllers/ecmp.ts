/**
 * ecmp: several subflows over paths that routers choose by a hash of the ports; finds ports that use them all.
 *
 * SMAPP section 4.4 closes the subflow with the lowest pacing rate every 2.5 s. On today's kernel that is slower
 * than doing nothing, because with each close the kernel sends again all that the connection has under way
 * (net/mptcp/protocol.c, __mptcp_retransmit_pending_data). Here the subflows in use fill the queues of their
 * paths, and others that carry no data are opened beside them: one whose handshake took much less time than
 * theirs is on a path that nobody uses. It is promoted by MP_PRIO and the slowest one demoted. Sharing a path
 * makes a subflow slow, so a path in use is not given up. Closes come together, so that they cost as one.
 */
import { type Connection, defineController, type Subflow } from './controller.ts';
import { count, duration, ratio } from './params.ts';

const CLOSED_BY_US = 103;
/** Round trips from the SYN/ACK until the handshake's fourth packet has surely come: MP_PRIO is refused before. */
const SETTLED = 3;

export default defineController({
  name: 'ecmp',
  summary: 'N subflows between two addresses, and a search for ports that lead over unused balanced paths.',
  params: {
    subflows: count(5, 'subflows that carry data'),
    joins: count(8, 'most subflows besides the first; a server on Linux without a daemon takes eight'),
    handful: count(4, 'tries at a time'),
    tries: count(16, 'tries of one search'),
    closes: count(
      1,
      'times in one search that spares are closed to make room: what is under way is sent again',
    ),
    period: duration(
      '1s',
      'time between two tries: long enough for a new subflow to fill the queue of its path',
    ),
    quick: ratio(
      0.7,
      'a handshake shorter than this share of the shortest round trip in use found an empty path',
    ),
    pause: duration('1m', 'time from one search to the next: paths may change'),
  },

  attach(conn, { subflows, joins, handful, tries, closes, period, quick, pause }) {
    if (conn.side !== 'client') return {};
    const before = new Map<string, number>();
    let bytes = new Map<Subflow, number>();
    let room = joins;
    let made = 0;
    let closed = 0;
    let promoted = false;

    const active = (): Subflow[] => conn.subflows.filter(({ backup }) => !backup);
    const idle = (): Subflow[] => conn.subflows.filter(({ backup }) => backup);

    function search(): void {
      bytes = new Map(active().map((subflow) => [subflow, progress(conn, subflow, before)]));
      if ([...bytes.values()].every((carried) => carried === 0)) return rest();
      if (conn.opening.length > 0 || made >= tries) return;
      const missing = subflows - active().length;
      if (missing > 0) return open(conn, missing, false, `${subflows} subflows wanted`);
      promoted = false;
      let free = room - (conn.subflows.length - 1);
      if (free <= 0 && closed < closes) {
        const empty = idle().filter((one) => holds(conn, one) === 0);
        for (const subflow of empty) conn.do({ kind: 'close', subflow }, 'room for other tries');
        free += empty.length;
        closed += 1;
      }
      const wanted = Math.min(handful, Math.max(0, free), tries - made);
      made = free > 0 ? made + wanted : tries;
      open(conn, wanted, true, `is there an unused path? ${made} of ${tries} tries`);
      if (made < tries) return;
      conn.after(pause, () => {
        made = 0;
        closed = 0;
      });
    }

    /** Nothing is under way, so nothing is sent again by closing. */
    function rest(): void {
      const progress = conn.readConnection();
      if (!progress || progress.sndUna !== progress.writeSeq) return;
      for (const subflow of idle()) conn.do({ kind: 'close', subflow }, 'not needed');
    }

    function judge(probe: Subflow): void {
      const took = conn.read(probe)?.srtt ?? Number.POSITIVE_INFINITY;
      const usual = Math.min(...active().map((subflow) => conn.read(subflow)?.srtt ?? took));
      const why = `its handshake took ${Math.round(took)} ms, the quickest round trip in use ${Math.round(usual)} ms`;
      if (took >= quick * usual) return conn.note(why);
      if (promoted) return conn.note(`${why}; it may be on the path that was just found`);
      promoted = true;
      conn.after(SETTLED * took, () => promote(probe, why));
    }

    function promote(probe: Subflow, why: string): void {
      if (!conn.subflows.includes(probe)) return;
      const slowest = active().sort((a, b) => (bytes.get(a) ?? 0) - (bytes.get(b) ?? 0));
      conn.do({ kind: 'backup', subflow: probe, on: false }, why);
      for (const subflow of slowest.slice(0, active().length + 1 - subflows))
        conn.do(
          { kind: 'backup', subflow, on: true },
          `the slowest: ${bytes.get(subflow) ?? 0} B in ${period} ms`,
        );
    }

    return {
      established() {
        open(conn, subflows - conn.subflows.length, false, `${subflows} subflows wanted`);
        conn.every(period, search);
      },
      subflowUp: (subflow, opened) => opened?.backup && judge(subflow),
      subflowDown: (subflow) => void before.delete(subflow.key),
      failed(command, { errno }) {
        // The peer takes no more; a refused try costs as much as a close.
        if (command.kind === 'open' && errno !== CLOSED_BY_US) room = conn.subflows.length - 1;
      },
    };
  },
});

function open(conn: Connection, wanted: number, backup: boolean, why: string): void {
  const [first] = conn.subflows;
  const local = conn.locals.find(({ ip }) => ip === first?.local.ip);
  const remote = conn.remotes.find(({ id }) => id === first?.remoteId);
  if (local && remote) for (let i = 0; i < wanted; i++) conn.do({ kind: 'open', local, remote, backup }, why);
}

/** Segments, or bytes not sent yet, that it would take with it. */
function holds(conn: Connection, subflow: Subflow): number {
  const stats = conn.read(subflow);
  return stats ? stats.unacked + stats.notSent : 0;
}

/** Bytes acknowledged since it was last asked. */
function progress(conn: Connection, subflow: Subflow, before: Map<string, number>): number {
  const now = conn.read(subflow)?.bytesAcked ?? 0;
  const then = before.get(subflow.key) ?? 0;
  before.set(subflow.key, now);
  return now - then;
}
