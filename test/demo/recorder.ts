/** Records the transfer: readings and decisions from the daemon, progress from the receiver. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlClient } from '../../agent/control/client.ts';
import type { ConnectionJson, Notice } from '../../agent/control/daemon.ts';
import type { Mark, Point, Reading } from './recording.ts';

/** Sees what is recorded as it comes. */
export interface Audience {
  point(point: Point): void;
  mark(mark: Mark): void;
}

/** Milliseconds between two readings. */
const SAMPLE = 50;

export class Recorder {
  readonly points: Point[] = [];
  readonly marks: Mark[] = [];
  /** Bytes that the receiving application has. */
  received = 0;
  /** Milliseconds since 1970 at the start of the transfer. */
  #started = Date.now();
  #audience: Audience;
  #control: ControlClient;
  #subflows = new Map<string, Reading>();
  #running = true;
  #sampling: Promise<void> = Promise.resolve();

  constructor(audience: Audience, control: ControlClient) {
    this.#audience = audience;
    this.#control = control;
    void control.watch(
      'subscribe',
      {},
      (notice) => this.#decided(notice as Notice),
      () => {},
    );
  }

  /** From now on takes readings; fails when the daemon gives none. */
  start(): Promise<void> {
    this.#started = Date.now();
    this.#sampling = this.#sample();
    return this.#sampling;
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#control.close(); // fails a reading that is still asked for
    await this.#sampling;
  }

  mark(kind: Mark['kind'], text: string, at = Date.now()): void {
    const mark = { kind, text, at: Math.max(0, at - this.#started) };
    // A decision that fails at once is told of twice.
    if (this.marks.at(-1)?.text === text) return;
    this.marks.push(mark);
    this.#audience.mark(mark);
  }

  #decided(notice: Notice): void {
    if (notice.kind !== 'decision') return;
    const { at, command, why, outcome } = notice;
    const failed = outcome?.startsWith('failed') ? ` (${outcome})` : '';
    const kind = this.#isProbe(command) ? 'probe' : 'decision';
    this.mark(kind, `${command ? `${command}: ` : ''}${why}${failed}`, at);
  }

  /** Opening a subflow as a backup, or closing one that carried nothing. */
  #isProbe(command = ''): boolean {
    const [, closed] = /^close (.*)/.exec(command) ?? [];
    if (closed !== undefined) return (this.#subflows.get(closed)?.acked ?? 0) === 0;
    return /^open .* backup$/.test(command);
  }

  async #sample(): Promise<void> {
    while (this.#running) {
      const connections = await this.#connections();
      for (const { key, ifname, bytes_acked } of connections.flatMap(({ subflows }) => subflows)) {
        // The SYN counts as an acknowledged byte.
        const acked = Math.max(0, (bytes_acked ?? 0) - 1);
        if (ifname) this.#subflows.set(key, { key, ifname, acked });
      }
      const point = {
        at: Date.now() - this.#started,
        received: this.received,
        subflows: [...this.#subflows.values()],
      };
      this.points.push(point);
      this.#audience.point(point);
      await sleep(SAMPLE);
    }
  }

  /** None when the recorder was stopped meanwhile. */
  async #connections(): Promise<readonly ConnectionJson[]> {
    try {
      return (await this.#control.call('connections')) as ConnectionJson[];
    } catch (error) {
      if (this.#running) throw error;
      return [];
    }
  }
}
