/** Time as an argument: the agent never asks the machine what time it is, so that tests can decide. */
import type { Millis } from './model.ts';

export interface Clock {
  /** Milliseconds since an arbitrary moment; never goes back. */
  now(): Millis;
  /** Runs once after `delay`; returns a canceller. */
  after(delay: Millis, run: () => void): () => void;
}

/** The machine's clock. Its timers do not keep a process alive. */
export const machineClock: Clock = {
  now: () => performance.now(),
  after(delay, run) {
    const timer = setTimeout(run, delay).unref();
    return () => clearTimeout(timer);
  },
};
