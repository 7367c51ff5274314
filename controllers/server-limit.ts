/**
 * server-limit: a server accepts only so many subflows of a connection, or only from different addresses.
 *
 * SMAPP section 3: clients decide how many subflows they open, servers pay for them. The newest subflow
 * over the limit is closed; the kernel's reset tells the client so.
 */
import { defineController, type Subflow } from './controller.ts';
import { count, flag } from './params.ts';

export default defineController({
  name: 'server-limit',
  summary: 'Accepts a limited number of subflows per connection, or one per client address.',
  params: {
    subflows: count(2, 'most subflows of a connection, the first one included'),
    differentAddresses: flag(false, 'accept only one subflow from each client address'),
  },

  attach(conn, { subflows, differentAddresses }) {
    function judge(subflow: Subflow): void {
      const twin = conn.subflows.find((other) => other !== subflow && other.remote.ip === subflow.remote.ip);
      if (conn.subflows.indexOf(subflow) >= subflows) {
        conn.do({ kind: 'close', subflow }, `more than ${subflows} subflows`);
      } else if (differentAddresses && twin) {
        conn.do({ kind: 'close', subflow }, `${subflow.remote.ip} already has ${twin.key}`);
      }
    }

    return {
      established: () => conn.subflows.slice(1).forEach(judge),
      subflowUp: judge,
    };
  },
});
