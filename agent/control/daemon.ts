/**
 * What the control socket needs of the daemon, and the JSON that it answers with. Nothing here knows of
 * sockets or of the kernel, so the same server stands in front of the real agent and the simulated one.
 *
 * Units as names say: `_us` microseconds, `_ms` milliseconds, rates bytes a second. Times are ISO 8601 in
 * UTC. Ends are written `ADDRESS:PORT`, IPv6 addresses in brackets.
 */
import type { ConvertedConnection, DataPathStats } from '../converter/status.ts';
import type { Event, Failure, Token } from '../model.ts';
import type { Line } from '../record.ts';

export const DEFAULT_PATH = '/run/smappd/control.sock';

/** `connections` of up to so many reads them from the kernel; the rest of the daemon waits some ms meanwhile. */
export const MAX_FRESH = 250;

export interface Daemon {
  status(): StatusJson;
  tokens(): Iterable<Token>;
  has(token: Token): boolean;
  /** `fresh` reads every subflow from the kernel now (5 to 20 µs each) instead of giving the last readings. */
  connection(token: Token, fresh: boolean): ConnectionJson | undefined;
  explain(token: Token): ExplanationJson | undefined;
  perform(token: Token, change: Change, why: string): Outcome;
  reload(): Promise<ReloadJson>;
  /** The converter's data path; undefined when the policy wants none. */
  converter(): ConverterView | undefined;
  /** Calls `see` for everything that happens until the returned function is called. */
  observe(see: (notice: Notice) => void): () => void;
  /** Writes a recording (record.ts) until the returned function is called. */
  record(write: (line: Line) => void): () => void;
  /** Whether this user may change things; root always may. */
  mayChange(uid: number): boolean;
}

/** What the data path says of itself; rejects when it does not answer. */
export interface ConverterView {
  stats(): Promise<DataPathStats>;
  connections(): Promise<ConvertedConnection[]>;
}

export interface StatusJson {
  readonly version: string;
  readonly pid: number;
  readonly since: string;
  readonly kernel: string;
  readonly policy: { readonly file: string; readonly loaded: string; readonly error?: string };
  readonly connections: number;
  readonly subflows: number;
  /** Connections under the in-kernel manager: shown, never commanded. */
  readonly uncommanded: number;
  readonly events: number;
  /** Times that events were lost, and the state was read again. */
  readonly resyncs: number;
  readonly commands: { readonly done: number; readonly failed: number };
  /** Where `timeout` events come from: the kernel (eBPF or tracepoint), or sampling. */
  readonly timeouts: string;
  /** What of the policy in force has no effect on this host, a sentence each. */
  readonly problems: readonly string[];
  readonly controllers: Readonly<Record<string, number>>;
  readonly locals: readonly LocalJson[];
}

export interface LocalJson {
  readonly ip: string;
  readonly id: number;
  readonly ifname: string;
  readonly role: 'primary' | 'backup';
  readonly metered: boolean;
}

export interface ConnectionJson {
  readonly token: Token;
  readonly side: 'client' | 'server';
  readonly app: string;
  readonly controller: string;
  readonly local: string;
  readonly remote: string;
  readonly since: string;
  /** False under the in-kernel path manager. */
  readonly commanded: boolean;
  readonly subflows: readonly SubflowJson[];
}

/** The readings are null until the subflow was first sampled. */
export interface SubflowJson {
  readonly key: string;
  readonly ifname: string;
  readonly local: string;
  readonly remote: string;
  readonly backup: boolean;
  readonly state: string;
  readonly rtt_us: number | null;
  readonly rto_us: number | null;
  readonly pacing_rate: number | null;
  readonly bytes_acked: number | null;
  readonly bytes_received: number | null;
  readonly retransmits: number | null;
}

export interface ExplanationJson {
  readonly token: Token;
  readonly app: string;
  /** What in the policy chose the controller, in words. */
  readonly rule: string;
  readonly controller: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** Oldest first; the ring forgets the oldest. */
  readonly decisions: readonly DecisionJson[];
  readonly forgotten: number;
}

export interface DecisionJson {
  readonly at: string;
  readonly why: string;
  /** Absent for a decision to do nothing. */
  readonly command?: string;
  /** "done", "waiting", or the failure's text. */
  readonly outcome?: string;
}

/** A change asked for by hand. `subflow` is a key, or the beginning of one that fits a single subflow. */
export type Change =
  | {
      readonly kind: 'open';
      /** An address or an interface of this host; the first unused one when left out. */
      readonly from?: string;
      /** ADDRESS or ADDRESS:PORT of the peer; the connection's own when left out. */
      readonly to?: string;
      readonly backup?: boolean;
      readonly localPort?: number;
    }
  | { readonly kind: 'close'; readonly subflow: string }
  | { readonly kind: 'backup'; readonly subflow: string; readonly on: boolean }
  | { readonly kind: 'announce'; readonly address: string; readonly port?: number }
  | { readonly kind: 'withdraw'; readonly address: string };

export type Outcome =
  /** `command` in words. An `open` is only begun: its end comes as an event. */
  | { readonly ok: true; readonly command: string }
  | {
      readonly ok: false;
      readonly reason: 'not-found';
      readonly message: string;
      readonly choices: readonly string[];
    }
  | { readonly ok: false; readonly reason: 'refused'; readonly failure: Failure };

export interface ReloadJson {
  readonly file: string;
  /** Everything is as the file says. */
  readonly ok: boolean;
  /** Each as `FILE:LINE:COLUMN: POINTER: message`; the running policy stays in force when there are any. */
  readonly errors: readonly string[];
  /** Why the converter could not be changed, of an otherwise good file: it runs as before. */
  readonly converter?: string;
}

/** Something that happened; `at` is milliseconds since 1970. */
export type Notice =
  | { readonly kind: 'event'; readonly at: number; readonly event: Event }
  | {
      readonly kind: 'decision';
      readonly at: number;
      readonly token: Token;
      readonly why: string;
      readonly command?: string;
      readonly outcome?: string;
    };
