/**
 * Reads the TCP_INFO of watched subflows, a bounded number a round, so that it never holds up events.
 *
 * Watched are subflows whose controller has `sampled`; where no eBPF tells of retransmission timeouts,
 * also those whose controller has `stalled`: a backoff seen to grow becomes the event, at most one round
 * late (one round is `every` while fewer than READS_PER_ROUND subflows are watched).
 */
import type { Clock } from './clock.ts';
import type { LiveConnection } from './connection.ts';
import type { Millis } from './model.ts';
import type { Agent } from './runtime.ts';

/** At 5 to 10 µs a reading, some 5 ms. */
const READS_PER_ROUND = 500;
const VISITS_PER_ROUND = 20_000;

export class Sampler {
  #agent: Agent;
  #clock: Clock;
  #tellStalls: boolean;
  #every: Millis;
  #cancel: (() => void) | undefined;
  #next: Iterator<LiveConnection> | undefined;

  constructor(agent: Agent, clock: Clock, every: Millis, tellStalls: boolean) {
    this.#agent = agent;
    this.#clock = clock;
    this.#every = every;
    this.#tellStalls = tellStalls;
    this.#arm();
  }

  set every(every: Millis) {
    this.#every = every;
  }

  stop(): void {
    this.#cancel?.();
  }

  #arm(): void {
    this.#cancel = this.#clock.after(this.#every, () => {
      this.#arm();
      this.#round();
    });
  }

  #round(): void {
    const visits = Math.min(VISITS_PER_ROUND, this.#agent.connections.size);
    for (let reads = 0, visited = 0, wraps = 0; reads < READS_PER_ROUND && visited < visits; ) {
      this.#next ??= this.#agent.connections.values();
      const { value: connection, done } = this.#next.next();
      if (done) {
        this.#next = undefined;
        if (wraps++) break;
        continue;
      }
      visited += 1;
      if (this.#watched(connection)) reads += this.#sample(connection);
    }
  }

  #watched({ handlers }: LiveConnection): boolean {
    return handlers.sampled !== undefined || (this.#tellStalls && handlers.stalled !== undefined);
  }

  #sample(connection: LiveConnection): number {
    const subflows = [...connection.subflows];
    for (const subflow of subflows) {
      const stats = this.#agent.read(subflow);
      if (stats) this.#agent.sampled(connection, subflow, stats, this.#tellStalls);
    }
    return subflows.length;
  }
}
