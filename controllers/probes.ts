/**
 * Tells whether a path that was left works again: subflows that carry no data are opened on it one after the
 * other, and only when enough SYNs in a row were answered at the first try is it good.
 */
import type { Command, Connection, Local, Millis, Subflow } from './controller.ts';

export class Probes {
  #connection: Connection;
  #every: Millis;
  #good = 0;
  #needed = 0;
  #stop = (): void => {};

  constructor(connection: Connection, every: Millis) {
    this.#connection = connection;
    this.#every = every;
  }

  /** Begins again; `path` gives the address to probe, or undefined while there is none. */
  start(needed: number, path: () => Local | undefined): void {
    this.#stop();
    this.#good = 0;
    this.#needed = needed;
    this.#stop = this.#connection.every(this.#every, () => {
      const local = path();
      const [remote] = this.#connection.remotes;
      if (local && remote && !this.#connection.opening.some((other) => other.local.ip === local.ip))
        this.#connection.do(
          { kind: 'open', local, remote, backup: true },
          `probe of ${local.ifname}, ${this.#progress}`,
        );
    });
  }

  stop(): void {
    this.#stop();
  }

  /** Takes an answered probe, and closes it; true when it proved the path. */
  answered(subflow: Subflow): boolean {
    this.#good = this.#connection.read(subflow)?.totalRetransmits === 0 ? this.#good + 1 : 0;
    this.#connection.do({ kind: 'close', subflow }, `probe done, ${this.#progress}`);
    return this.#good >= this.#needed;
  }

  /** A probe was refused or not answered. */
  failed(command: Command): void {
    if (command.kind === 'open' && command.backup) this.#good = 0;
  }

  get #progress(): string {
    return `${this.#good} of ${this.#needed} good`;
  }
}
