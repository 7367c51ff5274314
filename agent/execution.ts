/**
 * Runs controller code and the commands that it queues, and sees each `open` to its end.
 *
 * Commands run after the handler that queued them has returned, in order; what fails is told to the
 * controller before the next one runs. Every command, note and failure becomes a decision in the trail.
 */
import type { Handlers } from '../controllers/controller.ts';
import type { Clock } from './clock.ts';
import { endpoint, type LiveConnection, type Open, type PendingOpen } from './connection.ts';
import type { Kernel } from './kernel.ts';
import type { Log } from './log.ts';
import type { Command, Failure, Millis } from './model.ts';
import { type Decision, Trail } from './trail.ts';

const ETIMEDOUT = 110;
const EPERM = 1;
/** A controller that answers every failure at once with the same command must not hold up the rest. */
const COMMANDS_PER_EVENT = 256;

interface Tell {
  decision(connection: LiveConnection, decision: Decision): void;
  failed(connection: LiveConnection, decision: Decision): void;
}

export class Executor {
  #ports: { kernel: Kernel; clock: Clock; log: Log };
  #openDeadline: () => Millis;
  #tell: Tell;
  /** The connection whose queue is being emptied: handlers called meanwhile only add to it. */
  #draining: LiveConnection | undefined;

  constructor(ports: { kernel: Kernel; clock: Clock; log: Log }, openDeadline: () => Millis, tell: Tell) {
    this.#ports = ports;
    this.#openDeadline = openDeadline;
    this.#tell = tell;
  }

  /** One command from outside the controller. */
  command(connection: LiveConnection, command: Command, why: string): Failure | undefined {
    const failure = this.#execute(connection, command, why);
    if (connection.queue) this.#drain(connection);
    return failure;
  }

  /** Runs controller code. One that throws loses this connection; the daemon and the others go on. */
  call(connection: LiveConnection, handler: string, run: (handlers: Handlers) => void): void {
    try {
      run(connection.handlers);
    } catch (error) {
      connection.handlers = {};
      connection.queue = undefined;
      connection.cancelTimers();
      const controller = connection.choice.controller.name;
      this.#ports.log.error(
        { err: error, token: connection.token, controller },
        `controller failed in ${handler}`,
      );
      this.decide(
        connection,
        undefined,
        `controller ${controller} failed in ${handler} and was taken off: ${error}`,
      );
    }
    if (connection.queue && this.#draining !== connection) this.#drain(connection);
  }

  #drain(connection: LiveConnection): void {
    this.#draining = connection;
    for (let ran = 0; connection.queue; ran++) {
      const next = connection.queue.shift();
      if (!next) {
        connection.queue = undefined;
      } else if (ran < COMMANDS_PER_EVENT) {
        this.#execute(connection, next.command, next.why);
      } else {
        connection.queue = undefined;
        this.decide(
          connection,
          undefined,
          `more than ${COMMANDS_PER_EVENT} commands from one event: the rest was dropped`,
        );
      }
    }
    this.#draining = undefined;
  }

  #execute(connection: LiveConnection, command: Command, why: string): Failure | undefined {
    const failure = connection.commandable
      ? this.#ports.kernel.execute(connection.token, command)
      : { errno: EPERM, message: 'this connection belongs to the in-kernel path manager' };
    const decision = this.decide(connection, command, why, failure);
    if (failure) {
      this.failed(connection, command, failure, decision);
      return failure;
    }
    if (command.kind === 'open') this.#await(connection, command, decision);
    else if (command.kind === 'backup' || command.kind === 'close') {
      const subflow = connection.find(command.subflow.local, command.subflow.remote);
      if (!subflow) return undefined;
      if (command.kind === 'close') subflow.closing = true;
      else subflow.backup = command.on; // SUB_PRIORITY comes only at the peer
    }
    return undefined;
  }

  #await(connection: LiveConnection, command: Open, decision: Decision): void {
    const cancelDeadline = this.#ports.clock.after(this.#openDeadline(), () => {
      const at = connection.pending?.indexOf(open) ?? -1;
      if (at < 0) return;
      connection.pending?.splice(at, 1);
      this.#ports.kernel.abandon(connection.token, command);
      const message = `no answer within ${this.#openDeadline()} ms`;
      this.failed(connection, command, { errno: ETIMEDOUT, message }, decision);
    });
    const open: PendingOpen = { command, cancelDeadline };
    connection.pending ??= [];
    connection.pending.push(open);
  }

  failed(connection: LiveConnection, command: Command, failure: Failure, decision?: Decision): void {
    const made = decision ?? connection.trail?.decisions.findLast((other) => other.command === command);
    if (made && !made.failure) {
      made.failure = failure;
      this.#tell.failed(connection, made);
    }
    const { token } = connection;
    this.#ports.log.info({ token, command: describe(command), ...failure }, 'command failed');
    this.call(connection, 'failed', (handlers) => handlers.failed?.(command, failure));
  }

  decide(connection: LiveConnection, command: Command | undefined, why: string, failure?: Failure): Decision {
    connection.trail ??= new Trail();
    const decision = connection.trail.add(this.#ports.clock.now(), command, why);
    decision.failure = failure;
    this.#tell.decision(connection, decision);
    return decision;
  }
}

/** A command in one line, as logs and `smappctl explain` show it. */
export function describe(command: Command): string {
  switch (command.kind) {
    case 'open': {
      const port = command.localPort ? `:${command.localPort}` : '';
      return `open ${command.local.ip}${port}%${command.local.ifname} -> ${endpoint(command.remote)}${command.backup ? ' backup' : ''}`;
    }
    case 'close':
      return `close ${command.subflow.key}`;
    case 'backup':
      return `backup ${command.subflow.key} ${command.on ? 'on' : 'off'}`;
    case 'announce':
      return `announce ${command.local.ip}${command.port ? `:${command.port}` : ''}`;
    case 'withdraw':
      return `withdraw ${command.local.ip}`;
    case 'ping':
      return `ping ${endpoint(command.remote)} from ${command.ports.length} ports of ${command.local.ip}`;
  }
}
