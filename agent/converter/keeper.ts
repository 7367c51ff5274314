/** Keeps a program running: starts it again when it ends by itself, later each time that it fails soon. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Clock } from '../clock.ts';
import type { Notes } from '../log.ts';

export interface Program {
  readonly name: string;
  start(): ChildProcess;
  /** Resolves when it does its work; rejects when it cannot. */
  ready(child: ChildProcess, lines: Lines): Promise<void>;
}

/** What the program writes, both streams, a line at a time. */
export interface Lines {
  /** Resolves with the first line, from now on, that matches. */
  next(pattern: RegExp): Promise<string>;
  readonly last: string;
}

const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;
/** A program that ran for so long has not failed at once. */
const STEADY = 10_000;
/** For getting ready. */
const READY = 60_000;
/** After SIGTERM. */
const PATIENCE = 5000;

export class Keeper {
  readonly #clock: Clock;
  readonly #log: Notes;
  /** All that run: the one of now, and those before it that still drain. */
  readonly #children = new Set<ChildProcess>();
  #current: ChildProcess | undefined;
  #program: Program | undefined;
  #pause = FIRST_PAUSE;
  #cancelRestart: () => void = () => {};

  constructor(clock: Clock, log: Notes) {
    this.#clock = clock;
    this.#log = log;
  }

  get pid(): number | undefined {
    return this.#current?.pid;
  }

  /**
   * Starts the program, next to one that runs already: that one is left to end by itself. Rejects when it does
   * not get ready in a minute, and then the one before is the current one still.
   */
  async start(program: Program): Promise<void> {
    const child = await this.#launch(program);
    this.#cancelRestart();
    this.#program = program;
    this.#current = child;
    this.#pause = FIRST_PAUSE;
  }

  /** SIGTERM to everything, and SIGKILL to what does not end by that. */
  async stop(): Promise<void> {
    this.#program = undefined;
    this.#current = undefined;
    this.#cancelRestart();
    await Promise.all(
      [...this.#children].map(
        (child) =>
          new Promise<void>((done) => {
            const cancel = this.#clock.after(PATIENCE, () => child.kill('SIGKILL'));
            child.once('exit', () => {
              cancel();
              done();
            });
            child.kill('SIGTERM');
          }),
      ),
    );
  }

  async #launch(program: Program): Promise<ChildProcess> {
    const child = program.start();
    const lines = linesOf(child);
    const since = this.#clock.now();
    this.#children.add(child);
    const ended = new Promise<never>((_, fail) => {
      child.once('error', fail);
      child.once('exit', (code, signal) => {
        this.#children.delete(child);
        fail(new Error(`${program.name} ended (${signal ?? `status ${code}`}): ${lines.last}`));
        if (this.#current === child) this.#restart(program, this.#clock.now() - since, lines.last);
      });
    });
    const cancel = this.#clock.after(READY, () => child.kill('SIGKILL'));
    ended.catch(() => {}).finally(cancel);
    await Promise.race([program.ready(child, lines), ended]);
    cancel();
    return child;
  }

  #restart(program: Program, lived: number, last: string): void {
    this.#current = undefined;
    this.#pause = lived > STEADY ? FIRST_PAUSE : Math.min(this.#pause * 2, LONGEST_PAUSE);
    this.#log.warn({ program: program.name, pause: this.#pause, last }, 'program ended: starting it again');
    this.#cancelRestart = this.#clock.after(this.#pause, () => {
      this.#launch(program).then(
        (child) => {
          if (this.#program === program) this.#current = child;
          else child.kill('SIGTERM');
        },
        (error: Error) => {
          if (this.#program === program) this.#restart(program, 0, error.message);
        },
      );
    });
  }
}

function linesOf(child: ChildProcess): Lines {
  const waiting = new Set<(line: string) => void>();
  const lines = {
    last: '',
    next: (pattern: RegExp) =>
      new Promise<string>((done) => {
        const see = (line: string): void => {
          if (!pattern.test(line)) return;
          waiting.delete(see);
          done(line);
        };
        waiting.add(see);
      }),
  };
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on('line', (line) => {
      lines.last = line;
      for (const see of waiting) see(line);
    });
  }
  return lines;
}
