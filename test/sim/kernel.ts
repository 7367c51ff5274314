/**
 * A kernel with paths that the test makes good or bad. Commands are taken or refused at once, their
 * consequences come back as events a round trip later, as the real kernel sends them (KERNEL facts: no event
 * for our own priority changes, SUB_CLOSED 103 for what we close, nothing at all for a SYN without answer).
 */

import type { Clock } from '../../agent/clock.ts';
import type { Bound, Kernel, Snapshot } from '../../agent/kernel.ts';
import type {
  Address,
  Command,
  ConnectionStats,
  Event,
  Failure,
  Local,
  Side,
  Stats,
  SubflowEnds,
  Token,
} from '../../agent/model.ts';

const ROUND_TRIP = 20;
const REFUSED = 111;

/** What a SYN on this path meets. */
type Path = 'good' | 'refusing' | 'silent';

export class SimulatedKernel implements Kernel {
  /** By local address; `good` when not named. */
  readonly paths = new Map<string, Path>();
  /** A command that this returns a failure for is refused at once. */
  refuse: ((command: Command) => Failure | undefined) | undefined;
  /** Readings to give, by the subflow's local address. */
  readonly readings = new Map<string, Partial<Stats>>();
  /** What the kernel says of subflows that we closed. */
  closedErrno = 103;
  /** Readings of subflows that differ by their ports; before `readings`. */
  reading: ((local: Address) => Partial<Stats>) | undefined;
  /** After how long a ping from this port is answered; never, where it says nothing. */
  answers: ((port: number) => number | undefined) | undefined;
  connectionReading: Partial<ConnectionStats> | undefined;
  readonly inKernel = new Set<Token>();
  #connections = new Map<Token, { side: Side; subflows: SubflowEnds[] }>();
  #port = 40_000;
  #clock: Clock;
  #emit: (event: Event) => void;

  constructor(clock: Clock, emit: (event: Event) => void) {
    this.#clock = clock;
    this.#emit = emit;
  }

  /** A connection from `local`, established at once. */
  connect(token: Token, local: Address, remote: Address, side: Side = 'client'): void {
    const ends = { local, remote, localId: 0, remoteId: 0, backup: false, ifindex: 0 };
    this.#connections.set(token, { side, subflows: [ends] });
    this.#emit({ kind: 'created', token, side, ...ends });
    this.#emit({ kind: 'established', token, side, ...ends });
  }

  /** The peer opens a subflow to us. */
  join(token: Token, local: Address, remote: Address, remoteId: number): void {
    const ends = { local, remote, localId: 0, remoteId, backup: false, ifindex: 0 };
    this.#connections.get(token)?.subflows.push(ends);
    this.#emit({ kind: 'subflow-up', token, ...ends });
  }

  end(token: Token): void {
    this.#connections.delete(token);
    this.#emit({ kind: 'closed', token });
  }

  /** The subflow from this local address dies with `errno`; `before` its event something else may happen. */
  lose(token: Token, ip: string, errno: number, before?: () => void): void {
    const ends = this.#of(token, ip);
    this.#drop(token, ends);
    before?.();
    this.#emit({ kind: 'subflow-down', token, errno, resetReason: 0, ...ends });
  }

  /** The retransmission timer of the subflow from this local address backs off to `rto`. */
  stall(token: Token, ip: string, rto: number): void {
    const { local, remote } = this.#of(token, ip);
    this.#emit({ kind: 'stalled', token, local, remote, rto });
  }

  /** The application sends its first data after `silence`. */
  resume(token: Token, silence: number): void {
    this.#emit({ kind: 'resumed', token, silence });
  }

  snapshot(): Snapshot {
    return {
      connections: [...this.#connections].map(([token, { side, subflows }]) => ({
        token,
        side,
        subflows: [...subflows],
      })),
    };
  }

  subflows(token: Token): readonly SubflowEnds[] {
    return this.#connections.get(token)?.subflows ?? [];
  }

  execute(token: Token, command: Command): Failure | undefined {
    const failure = this.refuse?.(command);
    if (failure) return failure;
    switch (command.kind) {
      case 'open':
        this.#open(token, command);
        return undefined;
      case 'close': {
        const ends = this.subflows(token).find(
          ({ local, remote }) =>
            local.ip === command.subflow.local.ip &&
            local.port === command.subflow.local.port &&
            remote.ip === command.subflow.remote.ip &&
            remote.port === command.subflow.remote.port,
        );
        if (!ends) return { errno: 3, message: 'subflow not found' };
        this.#drop(token, ends);
        this.#clock.after(0, () =>
          this.#emit({ kind: 'subflow-down', token, errno: this.closedErrno, resetReason: 0, ...ends }),
        );
        return undefined;
      }
      case 'ping':
        for (const port of command.ports) {
          const took = this.answers?.(port);
          if (took === undefined) continue;
          const { local, remote } = command;
          const ends = { local: { ip: local.ip, port }, remote: { ip: remote.ip, port: remote.port } };
          this.#clock.after(took, () => this.#emit({ kind: 'pong', token, ...ends, took }));
        }
        return undefined;
      case 'backup':
      case 'announce':
      case 'withdraw':
        return this.#connections.has(token) ? undefined : { errno: 2, message: 'token not found' };
    }
  }

  abandon(): void {}

  opened(): void {}

  commandable(token: Token): boolean {
    return !this.inKernel.has(token);
  }

  read({ local }: Bound): Stats | undefined {
    const known = [...this.#connections.values()].some(({ subflows }) =>
      subflows.some((ends) => ends.local.ip === local.ip && ends.local.port === local.port),
    );
    return known
      ? { ...healthy(this.#clock.now()), ...this.readings.get(local.ip), ...this.reading?.(local) }
      : undefined;
  }

  readConnection(): ConnectionStats | undefined {
    return this.connectionReading && { ...quiet(this.#clock.now()), ...this.connectionReading };
  }

  #open(token: Token, { local, remote, backup, localPort }: Command & { kind: 'open' }): void {
    const connection = this.#connections.get(token);
    const path = this.paths.get(local.ip) ?? 'good';
    if (!connection || path === 'silent') return;
    const port = localPort || this.#port++;
    const ends = {
      local: { ip: local.ip, port },
      remote: { ip: remote.ip, port: remote.port },
      localId: local.id,
      remoteId: remote.id,
      backup,
      ifindex: local.ifindex,
    };
    this.#clock.after(ROUND_TRIP, () => {
      if (!this.#connections.has(token)) return;
      if (path === 'refusing') {
        this.#emit({ kind: 'subflow-down', token, errno: REFUSED, resetReason: 0, ...ends });
      } else {
        connection.subflows.push(ends);
        this.#emit({ kind: 'subflow-up', token, ...ends });
      }
    });
  }

  #of(token: Token, ip: string): SubflowEnds {
    const ends = this.subflows(token).find(({ local }) => local.ip === ip);
    if (!ends) throw new Error(`no subflow of ${token} from ${ip}`);
    return ends;
  }

  #drop(token: Token, ends: SubflowEnds): void {
    const subflows = this.#connections.get(token)?.subflows;
    subflows?.splice(subflows.indexOf(ends), 1);
  }
}

/** `10.0.0.1%wlan0`, `10.0.0.1%wwan0 backup`: a local address as tests write it. */
export function localAddress(text: string, id: number): Local {
  const [, ip = '', ifname = '', backup] = /^(.+)%(\S+)( backup)?$/.exec(text) ?? [];
  return { ip, id, ifname, ifindex: id, role: backup ? 'backup' : 'primary', metered: false };
}

function quiet(at: number): ConnectionStats {
  return {
    at,
    subflows: 1,
    fallback: false,
    writeSeq: 0,
    sndUna: 0,
    rcvNxt: 0,
    bytesSent: 0,
    bytesAcked: 0,
    bytesReceived: 0,
    bytesRetransmitted: 0,
  };
}

function healthy(at: number): Stats {
  return {
    at,
    state: 'established',
    srtt: ROUND_TRIP,
    rttvar: 5,
    rto: 220,
    backoff: 0,
    retransmits: 0,
    totalRetransmits: 0,
    congestionWindow: 10,
    mss: 1400,
    unacked: 0,
    pacingRate: 0,
    deliveryRate: 0,
    bytesSent: 0,
    bytesAcked: 0,
    bytesReceived: 0,
    bytesRetransmitted: 0,
    notSent: 0,
    lastDataSent: 0,
    lastAckReceived: 0,
  };
}
