/**
 * Plays a recording (record.ts) through the real agent, on a clock and a kernel that say what was recorded,
 * and compares what it decides with what was decided then. So a bug seen on a phone becomes a file that
 * fails on a desk until it is repaired.
 *
 * What was opened, closed and answered is in the recorded events; the kernel here only answers commands and
 * readings. A command that was not given then is taken, and nothing comes of it. Controllers start anew at the
 * beginning of the recording, as after a restart of the daemon: what they remembered from before is not in it.
 */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Controller } from '../controllers/controller.ts';
import type { Choice, ConnectionFacts } from './choice.ts';
import { keyOf } from './connection.ts';
import { describe } from './execution.ts';
import type { Bound, Kernel } from './kernel.ts';
import { ManualClock } from './manual-clock.ts';
import type { Command, ConnectionStats, Failure, Millis, Stats, Token } from './model.ts';
import { FORMAT, type Line, type RecordedChoice } from './record.ts';
import { Agent } from './runtime.ts';

export interface Replayed {
  readonly at: Millis;
  readonly token: Token;
  readonly why: string;
  readonly command: string | undefined;
  /** `same` as recorded; `new`, not taken then; `missing`, taken then and not now. */
  readonly verdict: 'same' | 'new' | 'missing';
}

export interface ReplayOptions {
  readonly controllers: readonly Controller[];
  /** Replaces the recorded choice, to try another policy on what happened. */
  readonly choose?: (recorded: RecordedChoice) => Choice;
}

/** Reads a recording. Throws Error that names the line. */
export async function readRecording(stream: Readable): Promise<Line[]> {
  const lines: Line[] = [];
  let number = 0;
  for await (const text of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    if (text.trim() === '') continue;
    let line: Partial<Line>;
    try {
      line = JSON.parse(text) as Line;
    } catch (error) {
      throw new Error(
        `line ${number}: not JSON (${(error as Error).message}): was the recording cut off here?`,
      );
    }
    if (typeof line?.kind !== 'string' || typeof line.at !== 'number') {
      throw new Error(`line ${number}: neither "kind" nor "at": no line of a recording`);
    }
    lines.push(line as Line);
  }
  const [start] = lines;
  if (start?.kind !== 'start')
    throw new Error('line 1: no "start" line: this is no recording of smappctl record');
  if (start.format !== FORMAT) {
    throw new Error(
      `line 1: format ${start.format}, and this program reads ${FORMAT}: use the smappctl that wrote it`,
    );
  }
  return lines;
}

/** Plays `lines` and returns every decision, of then and of now, in the order of time. */
export function replay(lines: readonly Line[], options: ReplayOptions): Replayed[] {
  const [start] = lines as [Line & { kind: 'start' }];
  const clock = new RecordedClock(lines);
  clock.advanceTo(start.at);
  const choices = choicesIn(lines);
  const kernel = new RecordedKernel(lines, () => clock.now());
  const chosen = (recorded: RecordedChoice): Choice =>
    options.choose?.(recorded) ?? recordedChoice(recorded, options.controllers);
  const choose = (facts: ConnectionFacts): Choice => {
    const recorded = choices.get(facts.token)?.shift();
    if (!recorded) {
      throw new Error(`connection ${facts.token} has no controller in the recording: it is incomplete`);
    }
    kernel.commandables.set(facts.token, choices.get(facts.token)?.[0]?.commandable ?? true);
    return chosen(recorded);
  };
  // The agent asks whether it may command a connection before it chooses for it.
  for (const [token, [first]] of choices) kernel.commandables.set(token, first?.commandable ?? true);

  const drawn = lines.flatMap((line) => (line.kind === 'random' ? [line.value] : []));
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const agent = new Agent(
    { kernel, clock, random: () => drawn.shift() ?? 0.5, log },
    { choose, openDeadline: start.openDeadline },
  );
  const decided: Replayed[] = [];
  agent.observe({
    decision: ({ token }, { at, why, command }) =>
      decided.push({ at, token, why, command: command && describe(command), verdict: 'new' }),
  });
  for (const line of lines) if (line.kind === 'local') agent.handle({ kind: 'local-up', local: line.local });
  const found = lines.filter((line) => line.kind === 'connection');
  agent.resync({ connections: found });
  for (const { token, remotes } of found) agent.connections.get(token)!.remotes = [...remotes];
  for (const line of lines) {
    clock.advanceTo(Math.max(line.at, clock.now()));
    if (line.kind === 'timer') clock.fire(line.due);
    else if (line.kind === 'policy') configure(agent, line, chosen, choose);
    else apply(agent, line);
  }
  return compare(decided, lines);
}

/** Connections of then get what the policy chose for them; later ones have lines of their own. */
function configure(
  agent: Agent,
  { choices, openDeadline }: Line & { kind: 'policy' },
  chosen: (recorded: RecordedChoice) => Choice,
  choose: (facts: ConnectionFacts) => Choice,
): void {
  const recorded = new Map(choices.map((one) => [one.token, one]));
  const now = ({ token }: ConnectionFacts): Choice => {
    const one = recorded.get(token);
    if (!one)
      throw new Error(`the new policy chose nothing for connection ${token}: the recording is incomplete`);
    return chosen(one);
  };
  let following = false;
  agent.configure({ openDeadline, choose: (facts) => (following ? choose : now)(facts) });
  following = true;
}

function apply(agent: Agent, line: Line): void {
  switch (line.kind) {
    case 'event':
      return agent.handle(line.event);
    case 'hold':
      return agent.hold();
    case 'resynced':
      return agent.resync(line.snapshot);
    case 'sampled':
      for (const connection of agent.connections.values()) {
        const subflow = connection.find(line.local, line.remote);
        if (subflow) return agent.sampled(connection, subflow, line.stats, false);
      }
      return;
    case 'by-hand': {
      const connection = agent.connections.get(line.token);
      if (connection) agent.command(connection, line.command, line.why);
      return;
    }
    case 'start':
    case 'local':
    case 'connection':
    case 'choice':
    case 'policy':
    case 'read':
    case 'read-connection':
    case 'timer':
    case 'random':
    case 'decision':
    case 'failed':
    case 'dropped':
      return; // the state at the beginning, or what came of something, not what went in
  }
}

/**
 * Runs timers when they ran then, which was as late as the machine was busy, and in the same order with all
 * else. One that did not run then (other controllers may set others) runs when it is due.
 */
class RecordedClock extends ManualClock {
  /** How often, in the rest of the recording, a timer ran that was due at a moment. */
  #toCome = new Map<Millis, number>();
  #waiting: { readonly due: Millis; readonly run: () => void }[] = [];

  constructor(lines: readonly Line[]) {
    super();
    for (const line of lines)
      if (line.kind === 'timer') this.#toCome.set(line.due, (this.#toCome.get(line.due) ?? 0) + 1);
  }

  override after(delay: Millis, run: () => void): () => void {
    const due = this.now() + delay;
    if (!this.#toCome.has(due)) return super.after(delay, run);
    const timer = { due, run };
    this.#waiting.push(timer);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== timer);
    };
  }

  /** Plays a line that says that a timer ran. */
  fire(due: Millis): void {
    const rest = this.#toCome.get(due)! - 1;
    if (rest > 0) this.#toCome.set(due, rest);
    else this.#toCome.delete(due);
    const ready = this.#waiting.filter((timer) => timer.due === due);
    // With the last line of its kind, all that wait for one.
    const run = rest > 0 ? ready.slice(0, 1) : ready;
    this.#waiting = this.#waiting.filter((timer) => !run.includes(timer));
    for (const timer of run) timer.run();
  }
}

/** What the recording says that the kernel said. */
class RecordedKernel implements Kernel {
  readonly commandables = new Map<Token, boolean>();
  /** Of each command, what came of it each time that it was given. */
  #outcomes = new Map<string, (Failure | undefined)[]>();
  #readings = new Readings<string, Stats>();
  #connectionReadings = new Readings<Token, ConnectionStats>();
  #now: () => Millis;

  constructor(lines: readonly Line[], now: () => Millis) {
    this.#now = now;
    for (const line of lines) {
      if (line.kind === 'decision' && line.command) {
        listAt(this.#outcomes, `${line.token} ${describe(line.command)}`).push(line.failure);
      } else if (line.kind === 'read' || line.kind === 'sampled') {
        this.#readings.add(keyOf(line.local, line.remote), line);
      } else if (line.kind === 'read-connection') {
        this.#connectionReadings.add(line.token, line);
      }
    }
  }

  execute(token: Token, command: Command): Failure | undefined {
    return this.#outcomes.get(`${token} ${describe(command)}`)?.shift();
  }
  abandon(): void {}
  opened(): void {}
  commandable(token: Token): boolean {
    return this.commandables.get(token) ?? true;
  }
  read({ local, remote }: Bound): Stats | undefined {
    return this.#readings.at(keyOf(local, remote), this.#now());
  }
  readConnection(token: Token): ConnectionStats | undefined {
    return this.#connectionReadings.at(token, this.#now());
  }
}

/** Of each subflow, or connection, what was read and when. */
class Readings<Of, S extends Stats | ConnectionStats> {
  #rest = new Map<Of, { readonly at: Millis; readonly stats: S | null }[]>();
  #last = new Map<Of, S | null>();

  add(of: Of, reading: { readonly at: Millis; readonly stats: S | null }): void {
    listAt(this.#rest, of).push(reading);
  }

  /** What was read now, or else the last time: readings that say nothing new are not written down. */
  at(of: Of, now: Millis): S | undefined {
    const rest = this.#rest.get(of) ?? [];
    let before = 0;
    while (before < rest.length && rest[before]!.at < now) before += 1;
    // A second reading in the same turn has a line of its own.
    const taken = rest[before]?.at === now ? before + 1 : before;
    const [reading] = rest.splice(0, taken).slice(-1);
    if (reading) this.#last.set(of, reading.stats);
    const stats = this.#last.get(of);
    return stats ? { ...stats, at: now } : undefined;
  }
}

/** Tokens can come again, and policies change: each connection's choices in the order in which they were made. */
function choicesIn(lines: readonly Line[]): Map<Token, RecordedChoice[]> {
  const choices = new Map<Token, RecordedChoice[]>();
  for (const line of lines) {
    if (line.kind !== 'choice' && line.kind !== 'connection') continue;
    listAt(choices, line.token).push(line);
  }
  return choices;
}

function recordedChoice(recorded: RecordedChoice, controllers: readonly Controller[]): Choice {
  const { app, params, rule: why } = recorded;
  const controller = controllers.find(({ name }) => name === recorded.controller);
  if (controller) return { app, controller, params, why };
  const known = controllers.map(({ name }) => name).join(', ');
  throw new Error(`the recording has a controller "${recorded.controller}"; known here are: ${known}`);
}

/** The same decision is one for the same connection, with the same command, or the same note, in the same order. */
function compare(decided: readonly Replayed[], lines: readonly Line[]): Replayed[] {
  const key = (token: Token, command: string | undefined, why: string): string =>
    `${token} ${command ?? why}`;
  const before = new Map<string, Replayed[]>();
  for (const line of lines) {
    if (line.kind !== 'decision') continue;
    const { at, token, why } = line;
    const command = line.command && describe(line.command);
    listAt(before, key(token, command, why)).push({ at, token, why, command, verdict: 'missing' });
  }
  const now = decided.map((one): Replayed => {
    const same = before.get(key(one.token, one.command, one.why))?.shift() !== undefined;
    return same ? { ...one, verdict: 'same' } : one;
  });
  return [...now, ...[...before.values()].flat()].sort((a, b) => a.at - b.at);
}

function listAt<K, V>(map: Map<K, V[]>, key: K): V[] {
  const list = map.get(key) ?? [];
  map.set(key, list);
  return list;
}
