/** What the agent needs of a kernel: implemented over netlink (commands.ts) and by the simulated one (test/sim). */
import type { Command, ConnectionStats, Failure, Side, Stats, Subflow, SubflowEnds, Token } from './model.ts';

export interface Kernel {
  /** Runs one command to its end; undefined when the kernel took it. An `open` that is taken may still fail later. */
  execute(token: Token, command: Command): Failure | undefined;
  /** Gives up an `open` whose SYN has had no answer. */
  abandon(token: Token, open: Command & { kind: 'open' }): void;
  /** An `open` was answered by this subflow: does what the kernel at hand left undone of it. */
  opened(token: Token, open: Command & { kind: 'open' }, subflow: Subflow & Bound): void;
  /**
   * Whether the userspace path manager has this connection; the in-kernel one's are seen but never commanded.
   * `newborn` when it was made just now, which spares asking the kernel about it.
   */
  commandable(token: Token, newborn: boolean): boolean;
  read(subflow: Bound): Stats | undefined;
  readConnection(token: Token): ConnectionStats | undefined;
}

/** What the kernel finds a subflow by: its ends, and the interface that it is bound to (0: none). */
export type Bound = Pick<SubflowEnds, 'local' | 'remote' | 'ifindex'>;

/** Everything that dumps can tell at one moment: the base of a resync. */
export interface Snapshot {
  readonly connections: readonly SnapshotConnection[];
}

export interface SnapshotConnection {
  readonly token: Token;
  readonly side: Side;
  readonly subflows: readonly SubflowEnds[];
}
