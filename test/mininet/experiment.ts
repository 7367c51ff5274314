/** What an experiment is: a network, a traffic, what goes wrong when, and who competes. */

/** A shaped link has all of bandwidth (Mbit/s), delay (ms, one way) and queue (packets), in both directions. */
export interface Link {
  readonly name: string;
  readonly ends: readonly [string, string];
  readonly addresses: readonly [string, string];
  readonly bandwidth?: number;
  readonly delay?: number;
  readonly queue?: number;
}

export interface Network {
  /** Shell commands that set each host up; traffic and managers run on `client` and `server`. */
  readonly hosts: Readonly<Record<string, readonly string[]>>;
  /** A host's interfaces are HOST-eth0, HOST-eth1, ... in the order of its links. */
  readonly links: readonly Link[];
}

/** `at` counts seconds from the connection. Loss is a percentage, in both directions. */
export type Fault =
  | { readonly at: number; readonly link: string; readonly loss: number }
  | { readonly at: number; readonly host: string; readonly command: string };

/** A way to manage paths: kernel configuration, or a daemon at the client. */
export interface Manager {
  /** TESTING.md's name of it. */
  readonly variant: string;
  readonly transport: 'mptcp' | 'tcp';
  /** Shell commands. */
  readonly client?: readonly string[];
  readonly server?: readonly string[];
  /** Started at the client, with environment assignments in front; `ready` is what it prints when it is. */
  readonly daemon?: readonly string[];
  readonly ready?: string;
  /** A daemon at the server, as `daemon` at the client. */
  readonly serverDaemon?: readonly string[];
  /** Prints everything that goes into and comes out of the daemon; started when recordings are wanted. */
  readonly recorder?: readonly string[];
}

/** What the guest reports of one run. */
export interface Observed {
  /** CLOCK_MONOTONIC seconds of the connection and of the end. */
  readonly start: number;
  readonly end: number;
  /** False when the limit ended it. */
  readonly finished: boolean;
  readonly server: readonly string[];
  readonly client: readonly string[];
  /** Changes of MPTCP's and TCP's counters, by host. */
  readonly counters: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly daemon: string;
  readonly recording: string;
  readonly segments: readonly Segment[];
}

/** One TCP segment that left the client; `at` counts seconds from the connection. */
export interface Segment {
  readonly at: number;
  readonly interface: string;
  /** MPTCP's data sequence number, low 32 bits. */
  readonly sequence: number | undefined;
  readonly length: number;
}

/** One run's part of a metric; `missing` counts values that an unfinished run did not give. */
export interface Measured {
  readonly metric: string;
  readonly unit: string;
  readonly values: readonly number[];
  readonly missing?: number;
}

export interface Experiment {
  readonly name: string;
  readonly goal: string;
  readonly network: Network;
  /** Arguments of the traffic program (traffic.c). */
  readonly server: readonly string[];
  readonly client: (transport: 'mptcp' | 'tcp') => readonly string[];
  /** Nanoseconds that an instruction takes, 2 by default: 1 where milliseconds count. */
  readonly instruction?: 1 | 2;
  /** Seconds after which a run is given up. */
  readonly limit: number;
  /** The client's interfaces whose segments are recorded. */
  readonly trace: readonly string[];
  /** The case whose first runs' segments are kept for a figure. */
  readonly tracedCase?: string;
  readonly cases: readonly { readonly name: string; readonly faults: readonly Fault[] }[];
  readonly managers: readonly Manager[];
  readonly measure: (run: Observed, under: string) => readonly Measured[];
}
