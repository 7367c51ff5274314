/**
 * backup: nothing on the second path until the first one fails, and back to the first when it recovers.
 *
 * SMAPP section 4.2. The kernel's backup flag keeps a subflow open on every path and still waits for
 * minutes under loss; here the subflow whose RTO passes the limit is closed and one is opened elsewhere
 * (break before make). While away, the primary path is probed by subflows that carry no data: only when
 * `probes` SYNs in a row were answered at the first try does traffic return. A return that fails soon
 * makes the next one harder (hysteresis).
 */
import { localsFor } from './addresses.ts';
import { type Connection, defineController, type Local, type Subflow } from './controller.ts';
import { count, duration } from './params.ts';

const CLOSED_BY_US = 103;

export default defineController({
  name: 'backup',
  summary: 'Opens the backup path only when the one in use stalls; returns when the primary path recovers.',
  params: {
    rtoLimit: duration('600ms', 'retransmission timeout that counts as a failure of the path'),
    probeEvery: duration('250ms', 'time between two probes of the primary path while away from it'),
    // At 30 % loss both ways, four good ones in a row come within seconds, twelve within an hour.
    probes: count(12, 'probes in a row that must succeed at the first try before traffic returns'),
    settle: duration(
      '30s',
      'a primary path that fails sooner than this after a return needs twice the probes next time',
    ),
  },

  attach(conn, { rtoLimit, probeEvery, probes, settle }) {
    if (conn.side !== 'client') return {};
    let home = homeOf(conn);
    let needed = probes;
    let good = 0;
    let returned = Number.NEGATIVE_INFINITY;
    let stopProbing = (): void => {};

    const locals = (): readonly Local[] => localsFor(conn, conn.remotes[0]);
    const on = (ifname: string | undefined): boolean => conn.subflows.some((s) => s.ifname === ifname);
    const idle = (): boolean => !conn.subflows.some(({ backup }) => !backup);

    function open(local: Local | undefined, backup: boolean, why: string): void {
      const remote = conn.remotes[0];
      if (!local || !remote) return conn.note(`no usable address: ${why}`);
      if (conn.opening.some((other) => other.local.ip === local.ip)) return;
      conn.do({ kind: 'open', local, remote, backup }, why);
    }

    const besides = (...ifnames: (string | undefined)[]): Local | undefined =>
      locals().find(({ ifname }) => !ifnames.includes(ifname));

    /** Moves to `other`; without one, stays where there is a subflow and tries again where there is none. */
    function leave(failed: string, why: string, other = besides(failed)): void {
      if (!other && on(failed)) return conn.note(`no other interface: ${why}`);
      const to = other ?? locals()[0];
      open(to, false, why);
      conn.after(0, () => {
        if (![...conn.opening, ...conn.subflows].some(({ local }) => local.ip === to?.ip)) return; // refused at once
        for (const subflow of conn.subflows) {
          if (subflow.ifname === failed) conn.do({ kind: 'close', subflow }, why);
        }
      });
      if (failed === home && conn.now() - returned < settle) needed *= 2;
      probe();
    }

    function probe(): void {
      stopProbing();
      good = 0;
      stopProbing = conn.every(probeEvery, () => {
        const local = locals().find(({ ifname }) => ifname === home);
        if (local && !on(home)) open(local, true, `probe of ${home}, ${good} of ${needed} good`);
      });
    }

    function judge(subflow: Subflow): void {
      good = conn.read(subflow)?.totalRetransmits === 0 ? good + 1 : 0;
      conn.do({ kind: 'close', subflow }, `probe done, ${good} of ${needed} good`);
      // A new subflow, not the probe with MP_PRIO: the kernel refuses that until the handshake's fourth packet.
      const local = locals().find(({ ifname }) => ifname === home);
      if (good >= needed) open(local, false, `${home} has recovered`);
    }

    function comeBack(subflow: Subflow): void {
      stopProbing();
      returned = conn.now();
      for (const other of conn.subflows)
        if (other !== subflow) conn.do({ kind: 'close', subflow: other }, `${home} has recovered`);
    }

    return {
      established() {
        if (!on(home)) probe(); // made, or found after a restart, while away
      },
      stalled(subflow, rto) {
        if (rto < rtoLimit || subflow.backup) return;
        const { ifname } = subflow;
        // While away, the primary path is known to be bad: a slow substitute is better.
        const other = besides(ifname, home);
        const why = `RTO ${rto} ms on ${ifname}`;
        if (other) leave(ifname, why, other);
        else conn.note(`no other interface: ${why}`);
      },
      subflowUp(subflow, opened) {
        if (opened?.backup) judge(subflow);
        else if (opened && subflow.ifname === home && conn.subflows.length > 1) comeBack(subflow);
      },
      subflowDown(subflow, errno) {
        if (errno !== CLOSED_BY_US && idle()) leave(subflow.ifname, `${subflow.key} ended, errno ${errno}`);
      },
      failed(command, { message }) {
        if (command.kind !== 'open') return;
        const { local, backup } = command;
        if (backup || local.ifname === home) good = 0;
        conn.after(probeEvery, () => {
          if (idle()) leave(local.ifname, `the attempt from ${local.ifname} failed: ${message}`);
        });
      },
      localDown(gone) {
        const subflow = conn.subflows.find(({ local }) => local.ip === gone.ip);
        if (subflow) leave(gone.ifname, `${gone.ip} is gone from ${gone.ifname}`);
      },
      localUp(local) {
        if (idle() && locals().includes(local)) open(local, false, `${local.ifname} is usable`);
        if (local.role === 'primary' && !locals().some(({ ifname }) => ifname === home)) home = local.ifname;
        if (local.ifname === home && !on(home)) probe();
      },
    };
  },
});

/** The primary interface: where the connection began, unless the policy calls that a backup. */
function homeOf(conn: Connection): string | undefined {
  const began = conn.locals.find(({ ip }) => ip === conn.subflows[0]?.local.ip);
  return began?.role === 'primary'
    ? began.ifname
    : (conn.locals.find(({ role }) => role === 'primary') ?? began)?.ifname;
}
