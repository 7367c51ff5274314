/**
 * ndiffports: several subflows between the two addresses of the first one, differing in their ports.
 *
 * The old kernel's path manager of that name (Raiciu et al., SIGCOMM'11): in a data centre, ECMP hashes
 * the ports, so each subflow may travel another path. The in-kernel manager of today cannot do it.
 */
import { defineController } from './controller.ts';
import { count, duration } from './params.ts';

export default defineController({
  name: 'ndiffports',
  summary: 'N subflows between the same two addresses, for paths balanced by their ports.',
  params: {
    subflows: count(2, 'subflows to keep, the first one included'),
    retry: duration('1s', 'wait before replacing a subflow that failed'),
  },

  attach(conn, { subflows, retry }) {
    function fill(why: string): void {
      const [first] = conn.subflows;
      const local = conn.locals.find(({ ip }) => ip === first?.local.ip);
      const remote = conn.remotes.find(({ id }) => id === first?.remoteId);
      if (conn.side !== 'client' || !local || !remote) return;
      for (let open = conn.subflows.length + conn.opening.length; open < subflows; open++) {
        conn.do({ kind: 'open', local, remote, backup: false }, why);
      }
    }

    return {
      established: () => fill(`${subflows} subflows wanted`),
      subflowDown: (subflow, errno) => {
        conn.after(retry, () => fill(`to replace ${subflow.key}, errno ${errno}`));
      },
      failed(command, { message }) {
        if (command.kind === 'open') conn.after(retry, () => fill(`the last attempt failed: ${message}`));
      },
    };
  },
});
