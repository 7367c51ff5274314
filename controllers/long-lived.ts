/**
 * long-lived: connections that idle for hours through NATs and firewalls which forget them.
 *
 * SMAPP section 4.1. No keepalives: nothing is sent while the application is silent. Its first data after a silence
 * that the path has not survived before may be lost, so a new subflow is opened beside it at once. If the old one has
 * not answered in the time of an ordinary round trip, it is closed: the close makes the kernel send the data again on
 * the new one, sooner than its own timer would (make before break). If it answers, the new one is closed. Where the
 * agent is not told of that first data, it opens when the answer is late. At a server, where nothing tells that a
 * subflow was forgotten, one that has been silent for long is closed when the client opens another: or the answer
 * would be tried on the old one first.
 */
import { defineController, type Local, type Millis, type Stats, type Subflow } from './controller.ts';
import { duration, ratio } from './params.ts';

const CLOSED_BY_US = 103;

export default defineController({
  name: 'long-lived',
  summary: 'Sends nothing while idle; repairs a forgotten connection at its first data.',
  params: {
    idle: duration('30s', 'silence after which a middlebox may have forgotten the connection'),
    patience: ratio(1.5, 'round trips to wait for the first acknowledgement after the silence'),
    hedge: duration('500ms', 'time after which a second attempt is made from another address'),
    retry: duration('1s', 'time between two attempts while there is no subflow left'),
  },

  attach(conn, { idle, patience, hedge, retry }) {
    if (conn.side === 'server')
      return {
        subflowUp(subflow) {
          for (const old of conn.subflows)
            if (old !== subflow && (conn.read(old)?.lastAckReceived ?? 0) > idle)
              conn.do({ kind: 'close', subflow: old }, 'its client left it');
        },
      };
    /** Subflows that may be forgotten: since when, and until when they may still answer. */
    const suspects = new Map<Subflow, { since: Millis; until: Millis; silence: Millis }>();
    /** The longest silence after which the path has answered. */
    let survived: Millis = 0;

    function open(local: Local | undefined, why: string): void {
      const [remote] = conn.remotes;
      if (local && remote && !conn.opening.some((other) => other.local.ip === local.ip))
        conn.do({ kind: 'open', local, remote, backup: false }, why);
    }

    /** From the same address first: the path is as likely good as before, and other addresses may cost money. */
    function replace(lost: Subflow, why: string): void {
      const usable = [...conn.locals].sort(
        (a, b) => Number(b.ip === lost.local.ip) - Number(a.ip === lost.local.ip),
      );
      open(usable[0], why);
      conn.after(hedge, () => {
        if (conn.opening.length > 0 && !answered(lost))
          open(usable[1], `no answer for ${hedge} ms, and ${why}`);
      });
    }

    function suspect(subflow: Subflow, silence: Millis, wait: Millis, why: string): void {
      if (suspects.has(subflow) && !answered(subflow)) return;
      const since = conn.now();
      suspects.set(subflow, { since, until: since + wait, silence });
      if (conn.opening.length === 0) replace(subflow, why);
    }

    const answered = (old: Subflow): boolean =>
      (conn.read(old)?.lastAckReceived ?? Infinity) < conn.now() - (suspects.get(old)?.since ?? Infinity);

    /** The old ones are needed, or the fresh one. */
    function settle(fresh: Subflow): void {
      if (suspects.size === 0 || !conn.subflows.includes(fresh)) return;
      const good = [...suspects.keys()].find(answered);
      const wait = Math.max(...[...suspects.values()].map(({ until }) => until)) - conn.now();
      if (!good && wait > 0) return void conn.after(wait, () => settle(fresh));
      if (good) conn.do({ kind: 'close', subflow: fresh }, `${good.key} answers`);
      else
        for (const old of suspects.keys())
          conn.do({ kind: 'close', subflow: old }, `${fresh.key} replaces it`);
      survived = good ? Math.max(survived, suspects.get(good)!.silence) : 0;
      suspects.clear();
    }

    const forgotten = ({ unacked, lastAckReceived, lastDataSent, srtt }: Stats): boolean =>
      unacked > 0 && lastAckReceived > idle && lastDataSent > patience * srtt;

    return {
      resumed(silence) {
        for (const subflow of conn.subflows) {
          const stats = conn.read(subflow);
          // What has gone was reset, and its event is on its way.
          const quiet = stats?.lastAckReceived ?? silence;
          if (quiet > Math.max(idle, survived))
            suspect(subflow, quiet, patience * (stats?.srtt ?? 0), `first data after ${quiet} ms of silence`);
        }
      },
      sampled(subflow, stats) {
        const { lastAckReceived: quiet } = stats;
        if (forgotten(stats)) suspect(subflow, quiet, 0, `no acknowledgement after ${quiet} ms of silence`);
      },
      stalled(subflow, rto) {
        const { lastAckReceived: quiet, backoff } = conn.read(subflow) ?? { lastAckReceived: 0, backoff: 2 };
        if (quiet > idle || backoff > 1) suspect(subflow, quiet, 0, `RTO ${rto} ms on ${subflow.key}`);
      },
      subflowUp(subflow) {
        settle(subflow);
      },
      subflowDown(subflow, errno) {
        suspects.delete(subflow);
        if (errno !== CLOSED_BY_US && conn.subflows.length === 0) replace(subflow, `errno ${errno}`);
      },
      failed(command, { message }) {
        if (command.kind !== 'open') return;
        conn.after(retry, () => {
          for (const old of suspects.keys()) if (answered(old)) suspects.delete(old);
          if (conn.subflows.length === suspects.size) open(command.local, message);
        });
      },
      localUp(local) {
        if (conn.subflows.length === 0) open(local, `${local.ifname} is usable`);
      },
    };
  },
});
