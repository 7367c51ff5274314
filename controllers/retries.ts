/** When to try again after a failure: the wait follows from the error, and doubles while failures go on. */
import type { Connection, Millis } from './controller.ts';
import { duration } from './params.ts';

/** The parameters that controllers which retry have in common. */
export const retryParams = {
  afterReset: duration(
    '1s',
    'wait after a reset or a refusal: a new SYN will do once a middlebox has forgotten',
  ),
  afterTimeout: duration('5s', 'wait after a timeout or an unreachable path'),
  longest: duration('2m', 'longest wait; each failure in a row doubles it up to here'),
};

const RESET = new Set([104, 111]);

export class Retries {
  /** Made at the first failure: most connections never see one. */
  #attempts: Map<string, { failures: number; cancel: (() => void) | undefined }> | undefined;
  #connection: Connection;
  #waits: { afterReset: Millis; afterTimeout: Millis; longest: Millis };

  constructor(connection: Connection, waits: { afterReset: Millis; afterTimeout: Millis; longest: Millis }) {
    this.#connection = connection;
    this.#waits = waits;
  }

  /** `what` is asked for only when there have been failures: making text takes time before the first subflow. */
  waiting(what: () => string): boolean {
    return this.#attempts?.get(what())?.cancel !== undefined;
  }

  later(what: string, errno: number, run: (why: string) => void): void {
    const { afterReset, afterTimeout, longest } = this.#waits;
    this.#attempts ??= new Map();
    const attempt = this.#attempts.get(what) ?? { failures: 0, cancel: undefined };
    const wait = Math.min(longest, (RESET.has(errno) ? afterReset : afterTimeout) * 2 ** attempt.failures);
    attempt.failures += 1;
    attempt.cancel?.();
    attempt.cancel = this.#connection.after(wait, () => {
      attempt.cancel = undefined;
      run(`errno ${errno} was ${wait} ms ago`);
    });
    this.#attempts.set(what, attempt);
  }

  /** It works (again), or its circumstances have changed: no more waiting, and the next failure is a first one. */
  forget(what: string): void {
    this.#attempts?.get(what)?.cancel?.();
    this.#attempts?.delete(what);
  }
}
