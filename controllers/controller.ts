/**
 * The contract between the agent and a controller (a path management strategy).
 *
 * A controller is data plus one function, `attach`, called once per connection it is given; its closure
 * is the per-connection memory. Handlers run to completion and never await; they read the connection and
 * queue commands, which run after the handler returns, so the connection never changes underfoot. A
 * command that fails comes back as `failed`. Every `open` ends in exactly one `subflowUp` or `failed`
 * that names it: the agent adds the deadline. A handler that is left out costs nothing.
 */
import type {
  Address,
  Command,
  ConnectionStats,
  Failure,
  Local,
  Millis,
  Remote,
  Side,
  Stats,
  Subflow,
  Token,
} from '../agent/model.ts';
import type { Param, ParamsOf } from './params.ts';

export type {
  Address,
  Command,
  ConnectionStats,
  Failure,
  Local,
  Millis,
  Remote,
  Side,
  Stats,
  Subflow,
  Token,
};

export interface Connection {
  readonly token: Token;
  readonly side: Side;
  /** The application's name in the policy; empty for the default. */
  readonly app: string;
  /** Established subflows, oldest first. */
  readonly subflows: readonly Subflow[];
  /** Local addresses that may be used now, primary roles first. */
  readonly locals: readonly Local[];
  /** The peer's addresses, the connection's own (id 0) first. */
  readonly remotes: readonly Remote[];
  /** `open` commands not answered yet, oldest first. */
  readonly opening: readonly (Command & { kind: 'open' })[];
  now(): Millis;
  /** Uniform in [0, 1). */
  random(): number;
  /** Queues a command. `why` becomes the log line and what `smappctl explain` shows. */
  do(command: Command, why: string): void;
  /** Notes a decision to do nothing, or anything else worth explaining, in the same trail. */
  note(why: string): void;
  /** Asks the kernel now; undefined when the subflow or connection is gone. 5 to 20 µs each. */
  read(subflow: Subflow): Stats | undefined;
  readConnection(): ConnectionStats | undefined;
  /** Timers die with the connection; both return a canceller. */
  after(delay: Millis, run: () => void): () => void;
  every(period: Millis, run: () => void): () => void;
}

export interface Handlers {
  /** SYN/ACK seen; commands still fail with ENOTCONN on a client. */
  created?(): void;
  /** Commands work from here on. Also called after a restart or resync, for a connection found alive. */
  established?(): void;
  closed?(): void;
  /** `opened` is the command that this answers; absent when the peer or the kernel opened the subflow. */
  subflowUp?(subflow: Subflow, opened?: Command & { kind: 'open' }): void;
  /** errno 111 refused, 110 timed out, 104 reset (RFC 8684 section 3.6 reason in `resetReason`), 103 closed by us. */
  subflowDown?(subflow: Subflow, errno: number, resetReason: number): void;
  /** The retransmission timer of this subflow expired; `rto` is the value that it backed off to. */
  stalled?(subflow: Subflow, rto: Millis): void;
  /** The first data is on its way after `silence` of more than 5 s on all subflows. Needs eBPF and Linux 6.6. */
  resumed?(silence: Millis): void;
  /** The peer has answered a `ping` from this port of ours, after `took`. */
  pong?(local: Address, took: Millis): void;
  /** One reading every `sampleEvery` of the policy while this handler exists; also in `subflow.stats`. */
  sampled?(subflow: Subflow, stats: Stats): void;
  /** The peer changed the backup flag of this subflow. */
  priority?(subflow: Subflow): void;
  localUp?(local: Local): void;
  localDown?(local: Local): void;
  remoteUp?(remote: Remote): void;
  remoteDown?(remote: Remote): void;
  /** A listening MPTCP socket appeared on, or went from, this host. */
  listenerUp?(local: Address): void;
  listenerDown?(local: Address): void;
  failed?(command: Command, failure: Failure): void;
}

export interface Controller<S extends Record<string, Param<unknown>> = Record<string, Param<unknown>>> {
  readonly name: string;
  readonly summary: string;
  readonly params: S;
  attach(connection: Connection, params: ParamsOf<S>): Handlers;
}

/** Keeps the parameters' types for `attach`. */
export function defineController<const S extends Record<string, Param<unknown>>>(
  controller: Controller<S>,
): Controller<S> {
  return controller;
}
