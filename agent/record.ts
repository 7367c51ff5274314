/**
 * A recording: everything that went into the agent and came out of it, a JSON object a line, so that what
 * happened on one machine can be played again on another (replay.ts). Times are milliseconds of the
 * daemon's clock. The first lines are the state that the daemon was in.
 */
import type { Choice } from './choice.ts';
import { keyOf, type LiveConnection } from './connection.ts';
import type { Snapshot } from './kernel.ts';
import type {
  Address,
  Command,
  ConnectionStats,
  Event,
  Failure,
  Local,
  Millis,
  Remote,
  Stats,
  SubflowEnds,
  Token,
} from './model.ts';
import type { Agent } from './runtime.ts';

export const FORMAT = 1;
const REMEMBERED = 10_000;

export type Line =
  | {
      readonly kind: 'start';
      readonly at: Millis;
      readonly format: typeof FORMAT;
      readonly version: string;
      readonly kernel: string;
      /** Milliseconds since 1970 at the clock's zero. */
      readonly epoch: number;
      readonly openDeadline: Millis;
    }
  | { readonly kind: 'local'; readonly at: Millis; readonly local: Local }
  | ({ readonly kind: 'connection'; readonly at: Millis } & RecordedConnection)
  | { readonly kind: 'event'; readonly at: Millis; readonly event: Event }
  /** Which controller a connection got: follows the event that made the connection. */
  | ({ readonly kind: 'choice'; readonly at: Millis; readonly token: Token } & RecordedChoice)
  /** A new policy, and what it chose for the connections of that moment. */
  | {
      readonly kind: 'policy';
      readonly at: Millis;
      readonly openDeadline: Millis;
      readonly choices: readonly (RecordedChoice & { readonly token: Token })[];
    }
  | ({ readonly kind: 'sampled'; readonly at: Millis; readonly stats: Stats } & Ends)
  /** What a controller read. A reading that differs from the one before by its time alone is left out. */
  | ({ readonly kind: 'read'; readonly at: Millis; readonly stats: Stats | null } & Ends)
  | {
      readonly kind: 'read-connection';
      readonly at: Millis;
      readonly token: Token;
      readonly stats: ConnectionStats | null;
    }
  /** A timer ran that was to run at `due`. */
  | { readonly kind: 'timer'; readonly at: Millis; readonly due: Millis }
  | { readonly kind: 'random'; readonly at: Millis; readonly value: number }
  | { readonly kind: 'hold'; readonly at: Millis }
  | { readonly kind: 'resynced'; readonly at: Millis; readonly snapshot: Snapshot }
  | ({ readonly kind: 'by-hand'; readonly at: Millis } & Commanded)
  /** What the agent decided; with `failure` when the kernel refused it at once. */
  | ({ readonly kind: 'decision'; readonly at: Millis; readonly failure?: Failure } & Partial<Commanded> & {
        readonly token: Token;
        readonly why: string;
      })
  | ({ readonly kind: 'failed'; readonly at: Millis; readonly failure: Failure } & Commanded)
  /** The recorder could not keep up: so many lines are missing here. */
  | { readonly kind: 'dropped'; readonly at: Millis; readonly count: number };

export interface Ends {
  readonly local: Address;
  readonly remote: Address;
}

export interface Commanded {
  readonly token: Token;
  readonly command: Command;
  readonly why: string;
}

export interface RecordedChoice {
  readonly app: string;
  readonly controller: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly rule: string;
  readonly commandable: boolean;
}

export interface RecordedConnection extends RecordedChoice {
  readonly token: Token;
  readonly side: 'client' | 'server';
  readonly established: boolean;
  readonly remotes: readonly Remote[];
  readonly subflows: readonly SubflowEnds[];
}

/** Who records: for the reader of the recording. */
export interface Origin {
  readonly version: string;
  readonly kernel: string;
  readonly epoch: number;
}

/** Writes the state, then everything that happens, until the returned function is called. */
export function record(agent: Agent, origin: Origin, write: (line: Line) => void): () => void {
  const at = agent.now();
  write({ kind: 'start', at, format: FORMAT, ...origin, openDeadline: agent.openDeadline });
  for (const local of agent.locals) write({ kind: 'local', at, local });
  for (const connection of agent.connections.values()) {
    const { token, side, established, remotes, subflows } = connection;
    write({
      kind: 'connection',
      at,
      token,
      side,
      established,
      remotes,
      subflows: subflows.map((subflow) => subflow.ends()),
      ...choiceOf(connection, connection.choice),
    });
  }
  const fresh = newReadings();
  return agent.observe({
    event: (event, when) => write({ kind: 'event', at: when, event }),
    chosen: (connection) =>
      write({
        kind: 'choice',
        at: agent.now(),
        token: connection.token,
        ...choiceOf(connection, connection.choice),
      }),
    configured({ openDeadline }, chosen) {
      const choices = [...chosen].map(([connection, choice]) => ({
        token: connection.token,
        ...choiceOf(connection, choice),
      }));
      write({ kind: 'policy', at: agent.now(), openDeadline, choices });
    },
    decision({ token }, { at: when, command, why, failure }) {
      write({
        kind: 'decision',
        at: when,
        token,
        why,
        ...(command && { command: plain(command) }),
        ...(failure && { failure }),
      });
    },
    failed({ token }, { command, why, failure }) {
      if (command && failure)
        write({ kind: 'failed', at: agent.now(), token, command: plain(command), why, failure });
    },
    commanded: ({ token }, command, why) =>
      write({ kind: 'by-hand', at: agent.now(), token, command: plain(command), why }),
    sampled(_connection, { local, remote }, stats) {
      fresh(keyOf(local, remote), stats);
      write({ kind: 'sampled', at: agent.now(), local, remote, stats });
    },
    read(local, remote, stats) {
      if (fresh(keyOf(local, remote), stats))
        write({ kind: 'read', at: agent.now(), local, remote, stats: stats ?? null });
    },
    readConnection(token, stats) {
      if (fresh(token, stats))
        write({ kind: 'read-connection', at: agent.now(), token, stats: stats ?? null });
    },
    timer: (due) => write({ kind: 'timer', at: agent.now(), due }),
    random: (value) => write({ kind: 'random', at: agent.now(), value }),
    held: () => write({ kind: 'hold', at: agent.now() }),
    resynced: (snapshot) => write({ kind: 'resynced', at: agent.now(), snapshot }),
  });
}

/** Tells whether a reading says anything that the one before, of the same subflow or connection, did not. */
function newReadings(): (of: string | Token, stats: Stats | ConnectionStats | undefined) => boolean {
  const last = new Map<string | Token, string>();
  return (of, stats) => {
    const text = JSON.stringify({ ...stats, at: 0 });
    const fresh = last.get(of) !== text;
    if (last.size > REMEMBERED) last.clear(); // what has ended would stay in it
    last.set(of, text);
    return fresh;
  };
}

/** As data: a live subflow computes its key when asked. */
function plain(command: Command): Command {
  if (command.kind !== 'close' && command.kind !== 'backup') return command;
  const { key, local, remote, localId, remoteId, ifname, backup, since } = command.subflow;
  return {
    ...command,
    subflow: { key, local, remote, localId, remoteId, ifname, backup, since, stats: undefined },
  };
}

function choiceOf({ commandable }: LiveConnection, { app, controller, params, why }: Choice): RecordedChoice {
  return { app, controller: controller.name, params, rule: why, commandable };
}
