/** HostKernel over rtnetlink. */
import type { Addon } from '../netlink/addon.ts';
import { type Message, NLM_F_CREATE, NLM_F_EXCL } from '../netlink/message.ts';
import {
  type Family,
  HOST_GROUPS,
  putDump,
  putLookup,
  putRoute,
  putRule,
  type Route,
  RTM,
  type Rule,
  readAddress,
  readLink,
  readRoutes,
  readRule,
} from '../netlink/rtnetlink.ts';
import { Channel, NETLINK_ROUTE, NetlinkError, type Subscription } from '../netlink/socket.ts';
import type { HostKernel, HostState } from './kernel.ts';

const NLM_F_APPEND = 0x800;
const RECEIVE_BUFFER = 1 << 20;
const EINTR = 4;
/** How often a dump is asked for again that was interrupted by a change. */
const TRIES = 5;
/** ENETUNREACH, EHOSTUNREACH, ESRCH, EACCES, EINVAL: no route, prohibited, or blackhole. */
const NO_ROUTE: ReadonlySet<number> = new Set([101, 113, 3, 13, 22]);

export class RtnetlinkHost implements HostKernel {
  readonly #channel: Channel;
  #subscription: Subscription | undefined;

  constructor(addon: typeof Addon) {
    this.#channel = new Channel(addon, NETLINK_ROUTE);
  }

  read(): HostState {
    return {
      links: this.#dump('read links', RTM.getLink, 0, readLink),
      addresses: this.#dump('read addresses', RTM.getAddress, 0, readAddress),
      routes: FAMILIES.flatMap((family) => this.#dump('read routes', RTM.getRoute, family, readRoutes)),
      rules: FAMILIES.flatMap((family) => this.#dump('read rules', RTM.getRule, family, readRule)),
    };
  }

  routeOf(source: string, destination: string): number | undefined {
    try {
      const put = (out: Parameters<typeof putLookup>[0]) => putLookup(out, source, destination);
      const answer = this.#channel.request(
        `look up the route ${source} -> ${destination}`,
        RTM.getRoute,
        0,
        put,
      );
      return answer && readRoutes(answer)[0]?.ifindex;
    } catch (error) {
      if (error instanceof NetlinkError && NO_ROUTE.has(error.errno)) return undefined;
      throw error;
    }
  }

  addRoute(route: Route): void {
    const flags = NLM_F_CREATE | NLM_F_APPEND;
    this.#channel.command('add route', RTM.newRoute, flags, (out) => putRoute(out, route));
  }

  deleteRoute(route: Route): void {
    this.#channel.command('delete route', RTM.delRoute, 0, (out) => putRoute(out, route));
  }

  addRule(rule: Rule): void {
    const flags = NLM_F_CREATE | NLM_F_EXCL;
    this.#channel.command('add rule', RTM.newRule, flags, (out) => putRule(out, rule));
  }

  deleteRule(rule: Rule): void {
    this.#channel.command('delete rule', RTM.delRule, 0, (out) => putRule(out, rule));
  }

  watch(changed: () => void): void {
    this.#subscription = this.#channel.watch(HOST_GROUPS, RECEIVE_BUFFER, {
      message: changed,
      lost: changed,
      malformed: changed,
      failed(error) {
        throw error;
      },
    });
  }

  close(): void {
    this.#subscription?.close();
    this.#channel.close();
  }

  #dump<T>(
    operation: string,
    type: number,
    family: Family | 0,
    read: (message: Message) => T | readonly T[] | undefined,
  ): T[] {
    for (let tries = 1; ; tries++) {
      try {
        const found: T[] = [];
        for (const message of this.#channel.dump(operation, type, (out) => putDump(out, type, family))) {
          found.push(...([read(message) ?? []].flat() as T[]));
        }
        return found;
      } catch (error) {
        if (!(error instanceof NetlinkError && error.errno === EINTR) || tries === TRIES) throw error;
      }
    }
  }
}

const FAMILIES = [4, 6] as const;
