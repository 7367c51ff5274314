/**
 * The kernel's MPTCP events into the agent, and the resync that makes up for those that were lost.
 *
 * The subscription comes before the first dump, so that nothing falls between them. While dumps are gathered,
 * events wait. After a loss, what is still queued is older than the dumps, so it is handled before them; and until
 * it has been read the kernel queues nothing new, without a word (netlink_overrun in net/netlink/af_netlink.c).
 */
import type { Snapshot } from './kernel.ts';
import type { Log } from './log.ts';
import type { Millis } from './model.ts';
import type { CodecError } from './netlink/attributes.ts';
import { decodeEvent, type PathManager } from './netlink/mptcp-pm.ts';
import type { NetlinkError, Subscription } from './netlink/socket.ts';
import type { Agent } from './runtime.ts';

/** How long a resync may hold up the event loop at a time. */
const SLICE: Millis = 1;

export class KernelEvents {
  /** Times that events were lost, and messages that could not be understood. */
  losses = 0;
  malformed = 0;
  #agent: Agent;
  #gather: () => Promise<Snapshot>;
  #log: Log;
  #failed: (error: NetlinkError) => void;
  #subscription: Subscription;
  #gathering: Promise<void> | undefined;
  #again = false;

  /** `fd` is a subscription that outlived an earlier run. `failed` is called when events end for good, or the state cannot be read. */
  constructor(
    agent: Agent,
    pathManager: PathManager,
    {
      gather,
      log,
      failed,
      fd,
      receiveBuffer,
    }: {
      gather: () => Promise<Snapshot>;
      log: Log;
      failed: (error: NetlinkError) => void;
      fd: number | undefined;
      /** In bytes; an event takes 832 of them. */
      receiveBuffer: number;
    },
  ) {
    this.#agent = agent;
    this.#gather = gather;
    this.#log = log;
    this.#failed = failed;
    agent.hold();
    this.#subscription = pathManager.watch(
      receiveBuffer,
      {
        message: (_, view, from, to) => {
          const event = decodeEvent(view, from, to);
          if (event) agent.handle(event);
        },
        lost: () => this.#lost(),
        malformed: (error) => this.#malformed(error),
        failed,
      },
      fd,
    );
  }

  /** To be kept while the daemon restarts: without a subscriber, a server rejects every MP_JOIN. */
  get fd(): number {
    return this.#subscription.fd;
  }

  get receiveBuffer(): number {
    return this.#subscription.receiveBuffer;
  }

  /** Reads the whole state from the kernel; done when the agent has it. */
  resync(): Promise<void> {
    this.#gathering ??= this.#resync().finally(() => {
      this.#gathering = undefined;
    });
    return this.#gathering;
  }

  close(): void {
    this.#subscription.close();
  }

  #lost(): void {
    this.losses += 1;
    this.#again = true;
    this.#log.warn({ losses: this.losses }, 'events were lost: reading the state again');
    this.#agent.handle({ kind: 'lost' });
    // Events would be held back for ever: whoever starts again reads the state again.
    this.resync().catch(this.#failed);
  }

  async #resync(): Promise<void> {
    do {
      this.#again = false;
      do await new Promise(setImmediate);
      while (!this.#subscription.drain());
      this.#agent.hold();
      const snapshot = await this.#gather();
      for (const _ of this.#agent.resyncSlices(snapshot, SLICE)) await new Promise(setImmediate);
    } while (this.#again);
  }

  #malformed(error: CodecError): void {
    this.malformed += 1;
    if (this.malformed === 1)
      this.#log.warn({ err: error }, 'an event could not be understood, and was skipped');
  }
}
