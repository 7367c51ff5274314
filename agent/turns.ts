/**
 * Time as controllers see it: it stands still while one input (an event, a reading, a timer) is handled. So what
 * they decide depends on nothing but what went in, and a recording of that (record.ts) can be played again.
 */
import type { Clock } from './clock.ts';
import type { Millis } from './model.ts';

export class Turns implements Clock {
  #clock: Clock;
  #fired: (due: Millis) => void;
  /** The moment at which the turn began; undefined between two turns. */
  #moment: Millis | undefined;

  /** `fired` hears of each timer that is about to run. */
  constructor(clock: Clock, fired: (due: Millis) => void) {
    this.#clock = clock;
    this.#fired = fired;
  }

  /** Whether an input is being handled. */
  get handling(): boolean {
    return this.#moment !== undefined;
  }

  now(): Millis {
    return this.#moment ?? this.#clock.now();
  }

  /** Handles one input; one that comes of it belongs to the same turn. */
  handle<T>(run: () => T, moment: Millis = this.#clock.now()): T {
    if (this.#moment !== undefined) return run();
    this.#moment = moment;
    try {
      return run();
    } finally {
      this.#moment = undefined;
    }
  }

  after(delay: Millis, run: () => void): () => void {
    const due = this.now() + delay;
    return this.#clock.after(delay, () =>
      this.handle(() => {
        this.#fired(due);
        run();
      }),
    );
  }
}
