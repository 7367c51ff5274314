/**
 * One MPTCP connection: what is known of it, and the face that its controller sees.
 *
 * Only the agent changes it. A controller's commands wait in `queue` until its handler has returned.
 * Hosts hold 100 thousand of these, so what many never need (timers, trail, queue) is made when first used.
 */
import type { Connection as Contract, Handlers } from '../controllers/controller.ts';
import type { Choice } from './choice.ts';
import type { Bound } from './kernel.ts';
import type {
  Address,
  Command,
  ConnectionStats,
  Local,
  Millis,
  Remote,
  Side,
  Stats,
  Subflow,
  SubflowEnds,
  Token,
} from './model.ts';
import type { Trail } from './trail.ts';

export type Open = Command & { kind: 'open' };

/** An `open` that the kernel took and nobody has answered yet. */
export interface PendingOpen {
  readonly command: Open;
  readonly cancelDeadline: () => void;
}

/** What a connection asks of the agent that holds it. */
export interface Services {
  readonly locals: readonly Local[];
  now(): Millis;
  random(): number;
  read(subflow: Bound): Stats | undefined;
  readConnection(token: Token): ConnectionStats | undefined;
  /** Runs controller code when the delay is over, then the commands that it queued. */
  schedule(connection: LiveConnection, delay: Millis, run: () => void): () => void;
  noted(connection: LiveConnection, why: string): void;
}

export class LiveSubflow implements Subflow {
  stats: Stats | undefined = undefined;
  /** We have closed it: whatever errno its end will bear, it is no failure. */
  closing = false;
  backup: boolean;
  readonly local: Address;
  readonly remote: Address;
  readonly localId: number;
  readonly remoteId: number;
  readonly ifname: string;
  /** 0 unless the subflow is bound to the interface. */
  readonly ifindex: number;
  readonly since: Millis;

  constructor(ends: SubflowEnds, ifname: string, since: Millis) {
    this.local = ends.local;
    this.remote = ends.remote;
    this.localId = ends.localId;
    this.remoteId = ends.remoteId;
    this.backup = ends.backup;
    this.ifname = ifname;
    this.ifindex = ends.ifindex;
    this.since = since;
  }

  get key(): string {
    return keyOf(this.local, this.remote);
  }

  ends(): SubflowEnds {
    const { local, remote, localId, remoteId, backup, ifindex } = this;
    return { local, remote, localId, remoteId, backup, ifindex };
  }

  joins(local: Address, remote: Address): boolean {
    return (
      this.local.port === local.port &&
      this.remote.port === remote.port &&
      this.local.ip === local.ip &&
      this.remote.ip === remote.ip
    );
  }
}

const NONE: readonly never[] = [];

export class LiveConnection implements Contract {
  readonly token: Token;
  readonly side: Side;
  readonly since: Millis;
  /** False when the in-kernel path manager has it: seen and shown, never commanded. */
  readonly commandable: boolean;
  choice: Choice;
  established = false;
  handlers: Handlers = {};
  /** Replaced, never changed: so it is as long as it needs to be, and may be gone through while subflows end. */
  subflows: readonly LiveSubflow[] = [];
  remotes: Remote[];
  pending: PendingOpen[] | undefined;
  queue: { command: Command; why: string }[] | undefined;
  trail: Trail | undefined;
  /** Found alive by a resync, so its beginning was not seen. */
  readonly found: boolean;
  /** The resync that saw it last, counted from 1. */
  seenBy = 0;
  #services: Services;
  #timers: Set<() => void> | undefined;

  constructor(
    services: Services,
    origin: {
      token: Token;
      side: Side;
      since: Millis;
      commandable: boolean;
      choice: Choice;
      remote: Remote;
      found: boolean;
    },
  ) {
    this.#services = services;
    this.token = origin.token;
    this.side = origin.side;
    this.since = origin.since;
    this.commandable = origin.commandable;
    this.choice = origin.choice;
    this.remotes = [origin.remote];
    this.found = origin.found;
  }

  get app(): string {
    return this.choice.app;
  }

  get locals(): readonly Local[] {
    return this.#services.locals;
  }

  get opening(): readonly Open[] {
    return this.pending?.map((open) => open.command) ?? NONE;
  }

  now(): Millis {
    return this.#services.now();
  }

  random(): number {
    return this.#services.random();
  }

  do(command: Command, why: string): void {
    this.queue ??= [];
    this.queue.push({ command, why });
  }

  note(why: string): void {
    this.#services.noted(this, why);
  }

  read(subflow: Subflow): Stats | undefined {
    const live = this.find(subflow.local, subflow.remote);
    return live && this.#services.read(live);
  }

  readConnection(): ConnectionStats | undefined {
    return this.#services.readConnection(this.token);
  }

  after(delay: Millis, run: () => void): () => void {
    const cancel = this.#services.schedule(this, delay, () => {
      this.#timers?.delete(cancel);
      run();
    });
    this.#timers ??= new Set();
    this.#timers.add(cancel);
    return () => {
      this.#timers?.delete(cancel);
      cancel();
    };
  }

  every(period: Millis, run: () => void): () => void {
    let cancel: () => void;
    const arm = (): void => {
      cancel = this.after(period, () => {
        arm();
        run();
      });
    };
    arm();
    return () => cancel();
  }

  /** Ends the controller's timers: at the connection's end, or when it gets another controller. */
  cancelTimers(): void {
    if (!this.#timers) return;
    for (const cancel of this.#timers) cancel();
    this.#timers = undefined;
  }

  find(local: Address, remote: Address): LiveSubflow | undefined {
    return this.subflows.find((subflow) => subflow.joins(local, remote));
  }

  add(subflow: LiveSubflow): void {
    // concat() alone takes 20 µs of the second subflow's time.
    this.subflows = this.subflows.length === 0 ? [subflow] : this.subflows.concat(subflow);
  }

  remove(subflow: LiveSubflow): void {
    this.subflows = this.subflows.filter((other) => other !== subflow);
  }

  /** Takes out the pending open that a subflow with these ends answers, oldest first. */
  answer(ends: SubflowEnds): PendingOpen | undefined {
    if (!this.pending) return undefined;
    const at = this.pending.findIndex(
      ({ command }) =>
        command.local.ip === ends.local.ip &&
        command.remote.ip === ends.remote.ip &&
        command.remote.port === ends.remote.port &&
        (!command.localPort || command.localPort === ends.local.port),
    );
    return at < 0 ? undefined : this.pending.splice(at, 1)[0];
  }
}

export function endpoint({ ip, port }: Address): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

export function keyOf(local: Address, remote: Address): string {
  return `${endpoint(local)}-${endpoint(remote)}`;
}
