/**
 * The host's paths: tells of local addresses that come and go, and keeps source routing in step.
 *
 * Level-triggered: whatever happened, and also when messages were lost, the host is read anew and the
 * difference acted on. An address is told of when its routes stand, and its loss before they go.
 */
import type { Clock } from '../clock.ts';
import type { Notes } from '../log.ts';
import type { Event, Local, Millis } from '../model.ts';
import { CodecError } from '../netlink/attributes.ts';
import { NetlinkError } from '../netlink/socket.ts';
import { AddressIds } from './ids.ts';
import type { Journal } from './journal.ts';
import type { HostKernel, HostState } from './kernel.ts';
import { ourRouting, type Step, steps, wantedRouting } from './source-routing.ts';
import { type AddressRules, type UsableAddress, usableAddresses } from './usable.ts';

export interface HostSettings {
  readonly addresses: AddressRules;
  /** Whether to make tables and rules where the host lacks them. */
  readonly sourceRouting: boolean;
}

interface Ports {
  readonly kernel: HostKernel;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Notes;
}

/** Changes come in bursts (a link that comes up makes ten): the first is acted on at once, the rest together. */
const BURST: Millis = 20;
const RETRY: Millis = 1000;
const NO_ROUTING = { routes: [], rules: [] };
/** ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL: it went by itself, with its link or address. */
const GONE: ReadonlySet<number> = new Set([2, 3, 19, 99]);

export class HostPaths {
  #ports: Ports;
  #settings: HostSettings;
  #tell: (event: Event) => void;
  #ids: AddressIds;
  #locals = new Map<string, Local>();
  /** Usable addresses that got no id. */
  #without = 0;
  #quietUntil = 0;
  #cancelPending: (() => void) | undefined;
  /** Steps that failed, so that each is reported once. */
  #failed = new Set<string>();

  constructor(ports: Ports, settings: HostSettings, tell: (event: Event) => void) {
    this.#ports = ports;
    this.#settings = settings;
    this.#tell = tell;
    this.#ids = new AddressIds(ports.journal.ids);
  }

  /** Locals that are up now, as told by the events so far. */
  get locals(): readonly Local[] {
    return [...this.#locals.values()];
  }

  /** Tells of the addresses that are there (`local-up`), and of what changes from now on. */
  start(): void {
    this.#ports.kernel.watch(() => this.#changed());
    this.#act(this.#ports.kernel.read());
  }

  configure(settings: HostSettings): void {
    this.#settings = settings;
    this.#update();
  }

  /** Ends watching, and puts the host's routing back unless it is to be left. */
  stop(leave = false): void {
    this.#cancelPending?.();
    if (!leave) this.#run(steps(ourRouting(this.#ports.kernel.read()), NO_ROUTING));
    this.#ports.kernel.close();
  }

  #changed(): void {
    if (this.#cancelPending) return;
    const wait = this.#quietUntil - this.#ports.clock.now();
    if (wait <= 0) this.#update();
    else {
      this.#cancelPending = this.#ports.clock.after(wait, () => {
        this.#cancelPending = undefined;
        this.#update();
      });
    }
  }

  #update(): void {
    const { kernel, clock, log } = this.#ports;
    const started = clock.now();
    try {
      this.#act(kernel.read());
      // Where reading takes long (a router's tables), it is done the less often.
      this.#quietUntil = clock.now() + Math.max(BURST, 10 * (clock.now() - started));
    } catch (error) {
      if (!(error instanceof NetlinkError || error instanceof CodecError)) throw error;
      log.warn({ err: error }, "the host's links and addresses cannot be read: trying again");
      this.#quietUntil = clock.now() + RETRY;
      this.#changed();
    }
  }

  #act(state: HostState): void {
    const { journal } = this.#ports;
    const usable = usableAddresses(state, this.#settings.addresses);
    const locals = this.#nameLocals(usable);
    const known = this.#locals;
    this.#locals = locals;
    for (const local of known.values()) if (!locals.has(local.ip)) this.#tell({ kind: 'local-down', local });
    journal.rememberIds(this.#ids.known());
    this.#route(state, usable);
    for (const local of locals.values()) {
      const before = known.get(local.ip);
      if (!before || !same(before, local)) this.#tell({ kind: 'local-up', local });
    }
  }

  #nameLocals(usable: readonly UsableAddress[]): Map<string, Local> {
    const ids = this.#ids.assign(usable.map(({ ip }) => ip));
    const locals = new Map<string, Local>();
    for (const { ip, ifname, ifindex: own, role, metered, live } of usable) {
      // A bound subflow hears nothing that comes in elsewhere: the lesser evil only where no rule leads it.
      const ifindex = this.#settings.sourceRouting ? 0 : own;
      const id = ids.get(ip);
      if (live && id !== undefined) locals.set(ip, { ip, id, ifname, ifindex, role, metered });
    }
    const without = usable.filter(({ ip }) => !ids.has(ip)).length;
    if (without > 0 && this.#without === 0) {
      const text =
        'the host has more than 254 usable addresses: the rest is not used (let the policy name interfaces)';
      this.#ports.log.warn({ without }, text);
    }
    this.#without = without;
    return locals;
  }

  #route(state: HostState, usable: readonly UsableAddress[]): void {
    const { kernel } = this.#ports;
    const wanted = this.#settings.sourceRouting
      ? wantedRouting(state, usable, (source, destination) => kernel.routeOf(source, destination))
      : NO_ROUTING;
    this.#run(steps(ourRouting(state), wanted));
  }

  #run(todo: readonly Step[]): void {
    const failed = new Set<string>();
    for (const step of todo) {
      try {
        this.#take(step);
        this.#ports.log.info(step, 'source routing changed');
      } catch (error) {
        if (step.do === 'delete' && GONE.has((error as NodeJS.ErrnoException).errno ?? 0)) continue;
        const key = JSON.stringify(step);
        failed.add(key);
        if (!this.#failed.has(key)) this.#ports.log.warn({ err: error, ...step }, 'source routing failed');
      }
    }
    this.#failed = failed;
  }

  #take(step: Step): void {
    const { kernel } = this.#ports;
    if ('rule' in step) step.do === 'add' ? kernel.addRule(step.rule) : kernel.deleteRule(step.rule);
    else step.do === 'add' ? kernel.addRoute(step.route) : kernel.deleteRoute(step.route);
  }
}

function same(a: Local, b: Local): boolean {
  return (
    a.id === b.id &&
    a.ifname === b.ifname &&
    a.ifindex === b.ifindex &&
    a.role === b.role &&
    a.metered === b.metered
  );
}
