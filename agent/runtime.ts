/**
 * The agent: events in, state kept true, controllers called, their commands out.
 *
 * Deterministic: the kernel, the clock, randomness and the policy's choice come in as arguments, and the
 * same events give the same commands. One event is handled to its end before the next. What a controller
 * queues runs after its handler has returned, and what comes of it returns as an event or as `failed`.
 */
import type { Handlers } from '../controllers/controller.ts';
import type { Choice, Choose } from './choice.ts';
import type { Clock } from './clock.ts';
import { LiveConnection, LiveSubflow, type Services } from './connection.ts';
import { Executor } from './execution.ts';
import type { Bound, Kernel, Snapshot } from './kernel.ts';
import type { Log } from './log.ts';
import type {
  Address,
  Command,
  ConnectionStats,
  Event,
  Failure,
  Local,
  Millis,
  Side,
  Stats,
  SubflowEnds,
  Token,
} from './model.ts';
import type { Decision } from './trail.ts';
import { Turns } from './turns.ts';

export interface Ports {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

export interface Settings {
  readonly choose: Choose;
  /** How long an `open` may stay unanswered. */
  readonly openDeadline: Millis;
}

/** Sees everything that happens, in order: the control socket's `events`, `record`, the live view. */
export interface Observer {
  event?(event: Event, at: Millis): void;
  /** `decision.failure` is set when the kernel refused the command at once. */
  decision?(connection: LiveConnection, decision: Decision): void;
  /** A command that the kernel had taken failed later: an `open` refused by the peer or not answered. */
  failed?(connection: LiveConnection, decision: Decision): void;
  /** A command by hand is about to run. */
  commanded?(connection: LiveConnection, command: Command, why: string): void;
  sampled?(connection: LiveConnection, subflow: LiveSubflow, stats: Stats): void;
  /** What a controller asked the kernel for. */
  read?(local: Address, remote: Address, stats: Stats | undefined): void;
  readConnection?(token: Token, stats: ConnectionStats | undefined): void;
  /** A timer, of a controller or of an open's deadline, is about to run; it was to run at `due`. */
  timer?(due: Millis): void;
  /** A controller drew this from chance. */
  random?(value: number): void;
  /** From now on events wait for `resynced`. */
  held?(): void;
  resynced?(snapshot: Snapshot): void;
  /** A new connection is about to get its controller. */
  chosen?(connection: LiveConnection): void;
  /** A new policy has chosen for all connections, and is about to be followed. */
  configured?(settings: Settings, choices: ReadonlyMap<LiveConnection, Choice>): void;
}

const ECONNABORTED = 103;

export class Agent implements Services {
  readonly connections = new Map<Token, LiveConnection>();
  /** Events that named a connection not known: how often the state was behind. */
  unknown = 0;
  locals: readonly Local[] = [];
  #ports: Ports;
  #settings: Settings;
  #observers = new Set<Observer>();
  #turns: Turns;
  #executor: Executor;
  /** Events that came while a resync gathers its snapshot. */
  #held: Event[] | undefined;
  #resyncs = 0;

  constructor(ports: Ports, settings: Settings) {
    this.#ports = ports;
    this.#settings = settings;
    this.#turns = new Turns(ports.clock, (due) => {
      for (const observer of this.#observers) observer.timer?.(due);
    });
    this.#executor = new Executor({ ...ports, clock: this.#turns }, () => this.#settings.openDeadline, {
      decision: (connection, decision) => {
        for (const observer of this.#observers) observer.decision?.(connection, decision);
      },
      failed: (connection, decision) => {
        for (const observer of this.#observers) observer.failed?.(connection, decision);
      },
    });
  }

  get openDeadline(): Millis {
    return this.#settings.openDeadline;
  }

  observe(observer: Observer): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  handle(event: Event): void {
    this.#turns.handle(() => {
      for (const observer of this.#observers) observer.event?.(event, this.now());
      if (this.#held) this.#held.push(event);
      else this.#apply(event);
    });
  }

  /** From here on events wait for `resync`, which brings what was true meanwhile. */
  hold(): void {
    if (this.#held) return;
    this.#held = [];
    for (const observer of this.#observers) observer.held?.();
  }

  /** Makes the state what the snapshot says, then what the events since `hold` say. Safe to repeat. */
  resync(snapshot: Snapshot): void {
    for (const _ of this.resyncSlices(snapshot, Number.POSITIVE_INFINITY));
  }

  /** As `resync`, yielding when it has held up others for `slice`: with 50 thousand subflows it takes long. */
  *resyncSlices(snapshot: Snapshot, slice: Millis): Generator<void> {
    const { clock } = this.#ports;
    const moment = clock.now();
    const steps = this.#resyncSteps(snapshot);
    const step = () => steps.next();
    let began = moment;
    while (!this.#turns.handle(step, moment).done) {
      if (clock.now() - began <= slice) continue;
      yield;
      began = clock.now();
    }
    this.#held = undefined;
  }

  *#resyncSteps(snapshot: Snapshot): Generator<void> {
    this.hold();
    for (const observer of this.#observers) observer.resynced?.(snapshot);
    // A mark in each takes no moment in which it grows, as a set of those that are alive would: 7 ms at its 32,769th.
    this.#resyncs += 1;
    for (const seen of snapshot.connections) {
      this.#reconcile(seen);
      yield;
    }
    for (const connection of this.connections.values()) {
      if (connection.seenBy !== this.#resyncs) this.#close(connection);
      yield;
    }
    for (let at = 0; at < this.#held!.length; at++) {
      this.#apply(this.#held![at]!);
      yield;
    }
  }

  /** A new policy: connections whose controller or parameters differ start anew under the new ones. */
  configure(settings: Settings): void {
    this.#settings = settings;
    this.#turns.handle(() => {
      const choices = new Map(
        [...this.connections.values()].map((one) => [one, settings.choose(this.#facts(one))]),
      );
      for (const observer of this.#observers) observer.configured?.(settings, choices);
      for (const [connection, choice] of choices) {
        const same =
          choice.controller === connection.choice.controller &&
          JSON.stringify(choice.params) === JSON.stringify(connection.choice.params);
        connection.choice = choice;
        if (!same) this.#attach(connection);
      }
    });
  }

  /** A command by hand (smappctl). The controller hears of what comes of it as of its own. */
  command(connection: LiveConnection, command: Command, why: string): Failure | undefined {
    return this.#turns.handle(() => {
      for (const observer of this.#observers) observer.commanded?.(connection, command, why);
      return this.#executor.command(connection, command, why);
    });
  }

  /** One reading of a watched subflow: `stats`, then `sampled` and (where no better source tells) `stalled`. */
  sampled(connection: LiveConnection, subflow: LiveSubflow, stats: Stats, tellStalls: boolean): void {
    this.#turns.handle(() => {
      for (const observer of this.#observers) observer.sampled?.(connection, subflow, stats);
      const before = subflow.stats?.backoff ?? 0;
      subflow.stats = stats;
      this.#executor.call(connection, 'sampled', (handlers) => handlers.sampled?.(subflow, stats));
      if (!tellStalls || stats.backoff <= before) return;
      const { local, remote } = subflow;
      this.handle({ kind: 'stalled', token: connection.token, local, remote, rto: stats.rto });
    });
  }

  // What connections ask of us.
  now(): Millis {
    return this.#turns.now();
  }
  random(): number {
    const value = this.#ports.random();
    for (const observer of this.#observers) observer.random?.(value);
    return value;
  }
  read(subflow: Bound): Stats | undefined {
    const stats = this.#ports.kernel.read(subflow);
    if (this.#turns.handling)
      for (const observer of this.#observers) observer.read?.(subflow.local, subflow.remote, stats);
    return stats;
  }
  readConnection(token: Token): ConnectionStats | undefined {
    const stats = this.#ports.kernel.readConnection(token);
    if (this.#turns.handling) for (const observer of this.#observers) observer.readConnection?.(token, stats);
    return stats;
  }
  schedule(connection: LiveConnection, delay: Millis, run: () => void): () => void {
    return this.#turns.after(delay, () => this.#executor.call(connection, 'timer', run));
  }
  noted(connection: LiveConnection, why: string): void {
    this.#executor.decide(connection, undefined, why);
  }

  #apply(event: Event): void {
    switch (event.kind) {
      case 'local-up':
        this.locals = [...this.locals.filter(({ ip }) => ip !== event.local.ip), event.local].sort(byRole);
        return this.#callAll('localUp', event.local);
      case 'local-down':
        this.locals = this.locals.filter(({ ip }) => ip !== event.local.ip);
        return this.#callAll('localDown', event.local);
      case 'listener-up':
        return this.#callAll('listenerUp', event.local);
      case 'listener-down':
        return this.#callAll('listenerDown', event.local);
      case 'lost':
        return; // whoever noticed the loss resyncs
      case 'created':
        this.#create(event.token, event.side, event, false);
        return;
    }
    const connection = this.connections.get(event.token);
    if (!connection) {
      if (event.kind !== 'pong') this.unknown += 1; // that one is late, not the state
      return;
    }
    switch (event.kind) {
      case 'established':
        return this.#establish(connection);
      case 'closed':
        return this.#close(connection);
      case 'remote-up': {
        const remote = { ...event.remote, port: event.remote.port || (connection.remotes[0]?.port ?? 0) };
        connection.remotes = [...connection.remotes.filter(({ id }) => id !== remote.id), remote];
        return this.#executor.call(connection, 'remoteUp', (handlers) => handlers.remoteUp?.(remote));
      }
      case 'remote-down': {
        const remote = connection.remotes.find(({ id }) => id === event.id);
        if (!remote) return;
        connection.remotes = connection.remotes.filter((other) => other !== remote);
        return this.#executor.call(connection, 'remoteDown', (handlers) => handlers.remoteDown?.(remote));
      }
      case 'subflow-up':
        return this.#subflowUp(connection, event);
      case 'subflow-down':
        return this.#subflowDown(connection, event, event.errno, event.resetReason);
      case 'priority': {
        const subflow = connection.find(event.local, event.remote);
        if (!subflow) return;
        subflow.backup = event.backup;
        return this.#executor.call(connection, 'priority', (handlers) => handlers.priority?.(subflow));
      }
      case 'pong':
        return this.#executor.call(connection, 'pong', (handlers) =>
          handlers.pong?.(event.local, event.took),
        );
      case 'stalled': {
        const subflow = connection.find(event.local, event.remote);
        // Before that, nothing can be done about it.
        if (subflow && connection.established)
          this.#executor.call(connection, 'stalled', (handlers) => handlers.stalled?.(subflow, event.rto));
        return;
      }
      case 'resumed':
        if (connection.established)
          this.#executor.call(connection, 'resumed', (handlers) => handlers.resumed?.(event.silence));
        return;
    }
  }

  #create(token: Token, side: Side, ends: SubflowEnds, found: boolean): LiveConnection {
    const known = this.connections.get(token);
    if (known?.find(ends.local, ends.remote)) return known; // a resync saw it before its event came
    if (known) this.#close(known); // its `closed` was lost, and the kernel has given the token again
    const connection = new LiveConnection(this, {
      token,
      side,
      since: this.now(),
      commandable: this.#ports.kernel.commandable(token, !found),
      choice: this.#settings.choose({ token, side, local: ends.local, remote: ends.remote }),
      // Spread, each would have a hidden class of its own.
      remote: { ip: ends.remote.ip, port: ends.remote.port, id: 0 },
      found,
    });
    connection.add(this.#subflow(ends));
    this.connections.set(token, connection);
    for (const observer of this.#observers) observer.chosen?.(connection);
    this.#attach(connection);
    return connection;
  }

  #attach(connection: LiveConnection): void {
    connection.cancelTimers();
    connection.handlers = {};
    if (!connection.commandable) return;
    const { controller, params } = connection.choice;
    this.#executor.call(connection, 'attach', () => {
      connection.handlers = controller.attach(connection, params);
    });
    this.#executor.call(connection, 'created', (handlers) => handlers.created?.());
    if (connection.established)
      this.#executor.call(connection, 'established', (handlers) => handlers.established?.());
  }

  #establish(connection: LiveConnection): void {
    if (connection.established) return;
    connection.established = true;
    this.#executor.call(connection, 'established', (handlers) => handlers.established?.());
  }

  #close(connection: LiveConnection): void {
    this.connections.delete(connection.token);
    this.#executor.call(connection, 'closed', (handlers) => handlers.closed?.());
    connection.cancelTimers();
    for (const open of connection.pending ?? []) open.cancelDeadline();
    connection.queue = undefined;
  }

  #subflowUp(connection: LiveConnection, ends: SubflowEnds): void {
    if (connection.find(ends.local, ends.remote)) return; // a resync saw it before its event came
    const opened = connection.answer(ends);
    opened?.cancelDeadline();
    const subflow = this.#subflow(ends);
    if (opened) {
      subflow.backup ||= opened.command.backup; // the event tells only what the peer asked for
      this.#ports.kernel.opened(connection.token, opened.command, subflow);
    }
    connection.add(subflow);
    this.#executor.call(connection, 'subflowUp', (handlers) =>
      handlers.subflowUp?.(subflow, opened?.command),
    );
  }

  #subflowDown(connection: LiveConnection, ends: SubflowEnds, errno: number, resetReason: number): void {
    const subflow = connection.find(ends.local, ends.remote);
    if (subflow) {
      connection.remove(subflow);
      // Kernels differ in what they say of subflows that we closed (0, 103, 104).
      if (subflow.closing) errno = ECONNABORTED;
      this.#executor.call(connection, 'subflowDown', (handlers) =>
        handlers.subflowDown?.(subflow, errno, resetReason),
      );
      return;
    }
    const open = connection.answer(ends);
    if (!open) return;
    open.cancelDeadline();
    this.#executor.failed(connection, open.command, {
      errno,
      message: 'the peer or the path refused the subflow',
    });
  }

  #reconcile(seen: Snapshot['connections'][number]): void {
    const [first] = seen.subflows;
    let connection = this.connections.get(seen.token);
    if (!connection) {
      if (!first) return; // all its subflows are gone just now: the events that follow will tell
      connection = this.#create(seen.token, seen.side, first, true);
    }
    connection.seenBy = this.#resyncs;
    for (const subflow of connection.subflows) {
      if (seen.subflows.some((ends) => subflow.joins(ends.local, ends.remote))) continue;
      this.#subflowDown(connection, subflow.ends(), ECONNABORTED, 0);
    }
    for (const ends of seen.subflows) this.#subflowUp(connection, ends);
    this.#establish(connection);
  }

  #subflow(ends: SubflowEnds): LiveSubflow {
    const local = this.locals.find(({ ip }) => ip === ends.local.ip);
    return new LiveSubflow(ends, local?.ifname ?? '', this.now());
  }

  #facts({ token, side, subflows, remotes }: LiveConnection) {
    const nowhere = { ip: '', port: 0 };
    return { token, side, local: subflows[0]?.local ?? nowhere, remote: remotes[0] ?? nowhere };
  }

  #callAll<K extends 'localUp' | 'localDown' | 'listenerUp' | 'listenerDown'>(
    name: K,
    value: Parameters<NonNullable<Handlers[K]>>[0],
  ): void {
    for (const connection of this.connections.values()) {
      if (connection.handlers[name]) {
        this.#executor.call(connection, name, (handlers) =>
          (handlers[name] as (of: typeof value) => void)(value),
        );
      }
    }
  }
}

function byRole(a: Local, b: Local): number {
  return Number(a.role === 'backup') - Number(b.role === 'backup') || a.id - b.id;
}
