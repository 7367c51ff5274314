/**
 * long-lived: connections that idle for hours through NATs and firewalls which forget them.
 *
 * SMAPP section 4.1. No keepalives: nothing is sent while the application is silent. When its first data after
 * the silence is not acknowledged in the time of an ordinary round trip, or is answered with a reset, a new
 * subflow is opened at once, and the forgotten one is closed when that is there (make before break): the close
 * makes the kernel send the data again on the new one, sooner than its own timer would. At a server, where
 * nothing tells that a subflow was forgotten, one that has been silent for long is closed when the client opens
 * another: or the answer would be tried on the old one first.
 */
import { defineController, type Local, type Stats, type Subflow } from './controller.ts';
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
    const silent = (subflow: Subflow): boolean => (conn.read(subflow)?.lastAckReceived ?? 0) > idle;
    if (conn.side === 'server')
      return {
        subflowUp(subflow) {
          for (const old of conn.subflows)
            if (old !== subflow && silent(old))
              conn.do({ kind: 'close', subflow: old }, 'its client left it');
        },
      };
    const suspects = new Set<Subflow>();

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
        if (conn.opening.length > 0) open(usable[1], `no answer for ${hedge} ms, and ${why}`);
      });
    }

    function suspect(subflow: Subflow, why: string): void {
      if (suspects.has(subflow)) return;
      suspects.add(subflow);
      replace(subflow, why);
    }

    const forgotten = ({ unacked, lastAckReceived, lastDataSent, srtt }: Stats): boolean =>
      unacked > 0 && lastAckReceived > idle && lastDataSent > patience * srtt;

    return {
      sampled(subflow, stats) {
        if (forgotten(stats))
          suspect(subflow, `no acknowledgement after ${stats.lastAckReceived} ms of silence`);
      },
      stalled(subflow, rto) {
        if (silent(subflow) || (conn.read(subflow)?.backoff ?? 2) > 1)
          suspect(subflow, `RTO ${rto} ms on ${subflow.key}`);
      },
      subflowUp(subflow) {
        for (const old of suspects)
          if (old !== subflow) conn.do({ kind: 'close', subflow: old }, `${subflow.key} replaces it`);
        suspects.clear();
      },
      subflowDown(subflow, errno) {
        suspects.delete(subflow);
        if (errno !== CLOSED_BY_US && conn.subflows.length === 0) replace(subflow, `errno ${errno}`);
      },
      failed(command, { message }) {
        if (command.kind !== 'open') return;
        conn.after(retry, () => {
          if (conn.subflows.length === suspects.size) open(command.local, message);
        });
      },
      localUp(local) {
        if (conn.subflows.length === 0) open(local, `${local.ifname} is usable`);
      },
    };
  },
});
