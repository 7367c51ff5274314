/** A clock that moves only when told, and runs what falls due in order. */
import type { Clock } from './clock.ts';

export class ManualClock implements Clock {
  #now = 0;
  #sequence = 0;
  #timers: { at: number; sequence: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(delay: number, run: () => void): () => void {
    const timer = { at: this.#now + delay, sequence: this.#sequence++, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  advance(millis: number): void {
    this.advanceTo(this.#now + millis);
  }

  advanceTo(end: number): void {
    for (;;) {
      const due = this.#timers
        .filter(({ at }) => at <= end)
        .sort((a, b) => a.at - b.at || a.sequence - b.sequence)[0];
      if (!due) break;
      this.#timers.splice(this.#timers.indexOf(due), 1);
      this.#now = due.at;
      due.run();
    }
    this.#now = end;
  }

  /** Timers not yet due: what a connection that ended must not leave behind. */
  get waiting(): number {
    return this.#timers.length;
  }
}
