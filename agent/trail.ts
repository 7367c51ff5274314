/** The last decisions taken for one connection, for `smappctl explain`; bounded, newest last. */
import type { Command, Failure, Millis } from './model.ts';

export interface Decision {
  readonly at: Millis;
  /** Absent when the decision was to do nothing. */
  readonly command: Command | undefined;
  readonly why: string;
  /** Set when the command failed, at once or later. */
  failure: Failure | undefined;
}

const KEPT = 64;

export class Trail {
  #decisions: Decision[] = [];
  /** Decisions that fell out at the old end. */
  forgotten = 0;

  add(at: Millis, command: Command | undefined, why: string): Decision {
    const decision = { at, command, why, failure: undefined };
    // Most connections have one at most: push() would make room for 17.
    if (this.#decisions.length === 0) this.#decisions = [decision];
    else if (this.#decisions.push(decision) > KEPT) {
      this.#decisions.shift();
      this.forgotten += 1;
    }
    return decision;
  }

  get decisions(): readonly Decision[] {
    return this.#decisions;
  }
}
