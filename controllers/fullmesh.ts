/**
 * fullmesh: one subflow from each local address to each address of the peer, and back again after errors.
 *
 * SMAPP section 4.1, which repairs what the in-kernel manager leaves broken: the wait before a new attempt
 * follows from the error (retries.ts), and there is none when the link comes back.
 */
import { localsFor } from './addresses.ts';
import { defineController, type Local, type Remote, type Subflow } from './controller.ts';
import { count } from './params.ts';
import { Retries, retryParams } from './retries.ts';

const CLOSED_BY_US = 103;

export default defineController({
  name: 'fullmesh',
  summary: 'A subflow over every pair of addresses; failed ones are opened again.',
  params: { subflows: count(8, 'most subflows at a time, the first one included'), ...retryParams },

  attach(conn, { subflows, ...waits }) {
    if (conn.side !== 'client') return {};
    const retries = new Retries(conn, waits);

    function fill(why: string): void {
      let room = subflows - conn.subflows.length - conn.opening.length;
      for (const remote of conn.remotes) {
        for (const local of localsFor(conn, remote)) {
          if (room <= 0) return;
          if (taken(local, remote) || retries.waiting(() => pair({ local, remote }))) continue;
          conn.do({ kind: 'open', local, remote, backup: local.role === 'backup' }, why);
          room--;
        }
      }
    }

    function taken(local: Local, remote: Remote): boolean {
      const joins = (other: Ends): boolean =>
        other.local.ip === local.ip && other.remote.ip === remote.ip && other.remote.port === remote.port;
      return conn.subflows.some(joins) || conn.opening.some(joins);
    }

    function closeAll(of: (subflow: Subflow) => boolean, why: string): void {
      for (const subflow of conn.subflows.filter(of)) conn.do({ kind: 'close', subflow }, why);
    }

    function forget(local: Local): void {
      for (const remote of conn.remotes) retries.forget(pair({ local, remote }));
    }

    return {
      established: () => fill('every pair of addresses'),
      subflowUp: (subflow) => retries.forget(pair(subflow)),
      subflowDown(subflow, errno) {
        if (errno !== CLOSED_BY_US) retries.later(pair(subflow), errno, fill);
      },
      failed(command, { errno }) {
        if (command.kind === 'open') retries.later(pair(command), errno, fill);
      },
      localUp(local) {
        forget(local);
        fill(`${local.ifname} is usable`);
      },
      localDown(local) {
        forget(local);
        closeAll((subflow) => subflow.local.ip === local.ip, `${local.ifname} is gone`);
      },
      remoteUp: (remote) => fill(`the peer announced ${remote.ip}`),
      remoteDown: (remote) =>
        closeAll((subflow) => subflow.remoteId === remote.id, `the peer withdrew ${remote.ip}`),
    };
  },
});

interface Ends {
  readonly local: { readonly ip: string };
  readonly remote: { readonly ip: string; readonly port: number };
}

const pair = ({ local, remote }: Ends): string => `${local.ip} ${remote.ip} ${remote.port}`;
