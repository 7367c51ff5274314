/**
 * streaming: blocks with a deadline. The second path is opened only when a block is late, a path that loses is
 * closed then, and the first path is used alone again when it suffices.
 *
 * SMAPP section 4.3 asks once, half-way to the deadline, whether half of the block has arrived. Here the
 * progress so far foretells when the block will be complete, so that a bad path is noticed sooner: on today's
 * kernel a full mesh leaves it after some blocks, and only an early move beats it.
 */
import { localsFor } from './addresses.ts';
import { defineController, type Local, type Subflow } from './controller.ts';
import { bytes, count, duration, ratio } from './params.ts';
import { Probes } from './probes.ts';

const CLOSED_BY_US = 103;
/** Twice per usual round trip; a check costs some 20 µs. */
const CHECK_EVERY = 25;
/** Progress of less than this says nothing: acknowledgements of the first window are still under way. */
const GRACE = 100;
/** Acknowledgements that stay away for so long mean a loss that fast retransmission did not repair. */
const STUCK = 200;

/** A block under way: sequence numbers at its end and of what was acknowledged when it began. */
interface Block {
  end: number;
  readonly from: number;
  readonly at: number;
}

export default defineController({
  name: 'streaming',
  summary: 'Blocks with a deadline: uses the second path only while the first one is too late or too slow.',
  params: {
    block: bytes('0B', 'bytes that the application sends at a time; 0: what it writes at once is a block'),
    deadline: duration('1s', 'time in which a block must have arrived'),
    margin: ratio(0.5, 'a block is late when at its progress so far it will take this share of the deadline'),
    settle: duration('10s', 'time without a late block after which the first path is tried alone'),
    probeEvery: duration('500ms', 'time between two probes of a first path that was left'),
    probes: count(8, 'probes in a row that must succeed at the first try before traffic returns'),
  },

  attach(conn, { block, deadline, margin, settle, probeEvery, probes }) {
    if (conn.side !== 'client') return {};
    const home = conn.subflows[0]?.ifname;
    const probing = new Probes(conn, probeEvery);
    const clean = new Map<Subflow, number>();
    const blocks: Block[] = [];
    let needed = probes;
    let away = false; // the first path was left because it loses
    let resting = false; // everything was acknowledged at the last check
    let acknowledged = { upTo: 0, at: 0 };
    let troubled = Number.NEGATIVE_INFINITY;
    let refusedUntil = Number.NEGATIVE_INFINITY;

    const active = (): Subflow[] => conn.subflows.filter(({ backup }) => !backup);
    const on = (ifname: string | undefined): boolean => active().some((one) => one.ifname === ifname);
    const off = (ifname?: string): Local | undefined =>
      localsFor(conn, conn.remotes[0]).find(
        (local) => !on(local.ifname) && local.ifname !== ifname && !(away && local.ifname === home),
      );
    const ofHome = (): Local | undefined =>
      localsFor(conn, conn.remotes[0]).find(({ ifname }) => ifname === home);
    const retransmits = (subflow: Subflow): number => conn.read(subflow)?.totalRetransmits ?? 0;

    function open(local: Local | undefined, why: string): void {
      const [remote] = conn.remotes;
      if (!local || !remote) return conn.note(`no other address: ${why}`);
      conn.do({ kind: 'open', local, remote, backup: false }, why);
    }

    function check(): void {
      const progress = conn.readConnection();
      if (!progress) return;
      const { sndUna, writeSeq, at } = progress;
      if (sndUna !== acknowledged.upTo || blocks.length === 0) acknowledged = { upTo: sndUna, at };
      const last = blocks.at(-1);
      if (last && (writeSeq <= last.end || writeSeq - last.from <= block)) last.end = writeSeq;
      else if (writeSeq > sndUna) blocks.push({ end: writeSeq, from: last?.end ?? sndUna, at });
      while (blocks[0] && blocks[0].end <= sndUna) blocks.shift();
      const [oldest] = blocks;
      if (!oldest) return rest();
      resting = false;
      const taken = at - oldest.at;
      const size = oldest.end - oldest.from;
      const foreseen = (taken * size) / Math.max(1, sndUna - oldest.from);
      if ((taken >= GRACE && foreseen > deadline * margin) || at - acknowledged.at > STUCK)
        late(
          `a block of ${size} B is ${Math.round(taken)} ms old and has ${sndUna - oldest.from} B acknowledged`,
        );
    }

    /** Everything is acknowledged. */
    function rest(): void {
      if (!resting) for (const subflow of active()) clean.set(subflow, retransmits(subflow));
      resting = true;
      if (active().length < 2 || !on(home) || conn.now() - troubled < settle) return;
      for (const subflow of active())
        if (subflow.ifname !== home) conn.do({ kind: 'close', subflow }, `no late block for ${settle} ms`);
    }

    function late(why: string): void {
      if (conn.opening.some(({ backup }) => !backup) || conn.now() < refusedUntil) return;
      troubled = conn.now();
      const other = off();
      if (other) open(other, why);
      else shed(why);
    }

    /** Closes what has lost segments since all was well, so that its data is sent again elsewhere at once. */
    function shed(why: string): void {
      const losing = active().filter((subflow) => retransmits(subflow) > (clean.get(subflow) ?? 0));
      if (losing.length === active().length) return;
      for (const subflow of losing) conn.do({ kind: 'close', subflow }, `it loses: ${why}`);
      if (losing.length > 0) blocks.length = 0; // what is left counts from now on
      if (losing.some(({ ifname }) => ifname === home)) {
        away = true;
        probing.start(needed, () => (on(home) ? undefined : ofHome()));
        needed *= 2;
      }
    }

    return {
      established: () => void conn.every(CHECK_EVERY, check),
      stalled(subflow, rto) {
        if (blocks[0] && !subflow.backup && conn.now() - blocks[0].at + rto > deadline * margin)
          late(`RTO ${rto} ms on ${subflow.ifname}`);
      },
      subflowUp(subflow, opened) {
        if (opened?.backup) {
          if (probing.answered(subflow)) open(ofHome(), `${home} has recovered`);
        } else if (subflow.ifname === home && opened && away) {
          away = false;
          probing.stop();
          for (const other of active())
            if (other !== subflow) conn.do({ kind: 'close', subflow: other }, `${home} has recovered`);
        } else {
          shed(`${subflow.ifname} is there`);
          blocks.length = 0; // what is left counts from now on
        }
      },
      subflowDown(subflow, errno) {
        clean.delete(subflow);
        if (errno !== CLOSED_BY_US && active().length === 0)
          open(off(subflow.ifname) ?? ofHome(), `errno ${errno}`);
      },
      failed(command, { message }) {
        probing.failed(command);
        if (command.kind !== 'open' || command.backup) return;
        refusedUntil = conn.now() + probeEvery;
        conn.after(probeEvery, () => {
          if (active().length === 0) open(off(command.local.ifname) ?? ofHome(), message);
        });
      },
      localUp(local) {
        if (active().length === 0) open(local, `${local.ifname} is usable`);
      },
    };
  },
});
