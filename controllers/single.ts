/**
 * single: one subflow at a time, over one interface.
 *
 * The single-path mode of Paasch et al. (CellNet'12): no second subflow costs energy or money. When the
 * one subflow is lost, or its address goes, a new one is opened from the next usable address (break
 * before make); the connection lives on. What the peer opens besides is closed again.
 */
import { localsFor } from './addresses.ts';
import { defineController, type Local } from './controller.ts';
import { duration } from './params.ts';

export default defineController({
  name: 'single',
  summary: 'One subflow at a time; moves to another address only when the one in use is lost.',
  params: {
    retry: duration('1s', 'wait before trying the next address after a failed attempt'),
  },

  attach(conn, { retry }) {
    let last: Local | undefined;

    function reopen(why: string): void {
      const remote = conn.remotes[0];
      if (conn.side !== 'client' || conn.subflows.length + conn.opening.length > 0 || !remote) return;
      const locals = localsFor(conn, remote);
      const next = locals[(locals.indexOf(last as Local) + 1) % locals.length];
      if (!next) return conn.note(`no usable address: ${why}`);
      last = next;
      conn.do({ kind: 'open', local: next, remote, backup: false }, why);
    }

    return {
      subflowUp(subflow) {
        if (conn.subflows.length > 1) conn.do({ kind: 'close', subflow }, 'one subflow is enough');
      },
      subflowDown: (subflow, errno) => reopen(`${subflow.key} ended, errno ${errno}`),
      failed(command, { message }) {
        if (command.kind === 'open')
          conn.after(retry, () => reopen(`the attempt from ${command.local.ip} failed: ${message}`));
      },
      localUp: (local) => reopen(`${local.ifname} is usable`),
      localDown(local) {
        for (const subflow of conn.subflows) {
          if (subflow.local.ip === local.ip) conn.do({ kind: 'close', subflow }, `${local.ifname} is gone`);
        }
      },
    };
  },
});
