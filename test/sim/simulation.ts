/** The real agent with one controller on the simulated kernel; all that happens is one line of `trace`. */

import { endpoint } from '../../agent/connection.ts';
import { describe as describeCommand } from '../../agent/execution.ts';
import { ManualClock } from '../../agent/manual-clock.ts';
import type { Event, Local } from '../../agent/model.ts';
import { Agent } from '../../agent/runtime.ts';
import type { Controller } from '../../controllers/controller.ts';
import { localAddress, SimulatedKernel } from './kernel.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

export class Simulation {
  readonly clock = new ManualClock();
  readonly kernel: SimulatedKernel;
  readonly agent: Agent;
  readonly locals: readonly Local[];
  readonly trace: string[] = [];
  /** What controllers draw from chance. */
  random = (): number => 0.5;

  /** `params` as the controller gets them; those not given have their fallback. */
  constructor(controller: Controller, locals: readonly string[], params: Record<string, unknown> = {}) {
    const fallbacks = Object.fromEntries(
      Object.entries(controller.params).map(([name, { fallback }]) => [name, fallback]),
    );
    const choice = { app: '', controller, params: { ...fallbacks, ...params }, why: 'the only one' };
    this.kernel = new SimulatedKernel(this.clock, (event) => this.agent.handle(event));
    this.agent = new Agent(
      { kernel: this.kernel, clock: this.clock, random: () => this.random(), log: silent },
      { choose: () => choice, openDeadline: 5000 },
    );
    this.locals = locals.map((text, at) => localAddress(text, at + 1));
    for (const local of this.locals) this.agent.handle({ kind: 'local-up', local });
    this.agent.observe({
      event: (event, at) => {
        const line = describeEvent(event);
        if (line) this.trace.push(`${at} ${line}`);
      },
      decision: (_, { at, command, why }) => {
        this.trace.push(command ? `${at} ${describeCommand(command)}  # ${why}` : `${at} # ${why}`);
      },
    });
  }

  local(ifname: string): Local {
    const found = this.locals.find((local) => local.ifname === ifname);
    if (!found) throw new Error(`no interface ${ifname}`);
    return found;
  }

  linkDown(ifname: string): void {
    this.agent.handle({ kind: 'local-down', local: this.local(ifname) });
  }

  linkUp(ifname: string): void {
    this.agent.handle({ kind: 'local-up', local: this.local(ifname) });
  }

  /** Lets every watched subflow be read once, as the sampler does. */
  sample(): void {
    for (const connection of this.agent.connections.values()) {
      for (const subflow of [...connection.subflows]) {
        const stats = this.kernel.read(subflow);
        if (stats) this.agent.sampled(connection, subflow, stats, false);
      }
    }
  }
}

export function describeEvent(event: Event): string | undefined {
  switch (event.kind) {
    case 'created':
    case 'lost':
      return undefined;
    case 'established':
      return `established ${endpoint(event.local)} -> ${endpoint(event.remote)}`;
    case 'closed':
      return 'closed';
    case 'subflow-up':
      return `up ${event.local.ip}${event.backup ? ' backup' : ''}`;
    case 'subflow-down':
      return `down ${event.local.ip} errno ${event.errno}`;
    case 'priority':
      return `priority ${event.local.ip} ${event.backup}`;
    case 'stalled':
      return `rto ${event.local.ip} ${event.rto}`;
    case 'resumed':
      return `resumed ${event.silence}`;
    case 'pong':
      return `pong ${event.local.port} ${event.took}`;
    case 'remote-up':
      return `remote ${event.remote.ip} up`;
    case 'remote-down':
      return `remote id ${event.id} down`;
    case 'local-up':
    case 'local-down':
    case 'listener-up':
    case 'listener-down':
      return `${event.kind} ${event.local.ip}`;
  }
}
