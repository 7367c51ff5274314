/** What a smappctl command is: one row of the table (table.ts) that drives parsing, dispatch and help. */
import type { Clock } from '../clock.ts';
import type { ControlClient } from '../control/client.ts';
import type { HostKernel } from '../host/kernel.ts';

/** What the composition root gives of the outside world. */
export interface Terminal {
  /** To standard output, or to standard error. */
  write(text: string): void;
  complain(text: string): void;
  readonly columns: number;
  readonly rows: number;
  /** Whether standard output is a terminal, and whether colours are wanted on it. */
  readonly interactive: boolean;
  readonly colours: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  /** The Node that runs this, and the top folder of this program. */
  readonly node: string;
  readonly home: string;
  /** Links, addresses and routes of this host. */
  network(): Promise<Pick<HostKernel, 'read' | 'routeOf'>>;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  today(): number;
  /** From its first call on SIGINT and SIGTERM no longer end the program, but resolve this. */
  interrupted(): Promise<void>;
  /**
   * From its call on signals no longer end the program, but go to the command that it runs: SIGTERM and SIGHUP.
   * SIGINT and SIGQUIT are for the terminal's foreground processes, and so came to that command too.
   */
  passSignals(to: (signal: NodeJS.Signals) => void): void;
}

export interface Option {
  readonly type: 'string' | 'boolean';
  /** What the help calls its value. */
  readonly value?: string;
  readonly doc: string;
}

export interface Invocation {
  readonly terminal: Terminal;
  /** Positional arguments, as many as `args` asks for. */
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  readonly json: boolean;
  readonly control: string;
  /** Closed when the command has ended. */
  connect(): Promise<ControlClient>;
}

export interface CommandLine {
  /** One word, or two for a group ("converter status"). */
  readonly name: string;
  /** As the help shows them: `TOKEN SUBFLOW [on|off]`; `[...]` marks what may be left out, `...` what repeats. */
  readonly args: string;
  readonly summary: string;
  /** The rest of `smappctl help NAME`: what it does, an example, exit status if not 0 and 1. */
  readonly help: string;
  readonly options: Readonly<Record<string, Option>>;
  /** Resolves to the exit status. Throws UsageError, ControlError, or Error with a message for the user. */
  run(invocation: Invocation): Promise<number>;
}

/** The command line makes no sense: exit status 2. */
export class UsageError extends Error {}
