/**
 * Source routing: subflows of an address leave by the link that has this address.
 *
 * Linux chooses the link by the destination alone, so on a host with two uplinks the second subflow would
 * leave by the first one's link. Each interface that needs it gets a table, and each of its addresses a
 * rule `from ADDRESS lookup TABLE`. The table is the main table as seen without the host's other uplinks:
 * this interface's default route and, so that containers, VMs and VPNs stay reachable from the address,
 * all routes that lead through no other uplink.
 *
 * A host that already routes rightly is left alone. What we make is marked (protocol, priority, table
 * range), and nothing without the mark is ever touched; so after a crash, ours are found by the mark.
 */
import { isIPv4 } from 'node:net';
import type { Route, Rule } from '../netlink/rtnetlink.ts';
import type { HostKernel, HostState } from './kernel.ts';
import { isDefault, isLinkLocal, type UsableAddress } from './usable.ts';

/** Our number among RTPROT_* (linux/rtnetlink.h; /etc/iproute2/rt_protos has no such entry), for rules too. */
export const PROTOCOL = 77;
/** After the rules of VPNs and administrators, before the main table's 32766. */
export const PRIORITY = 32_000;
/** Tables are this plus the interface's index. */
export const TABLES = 0x5300_0000;
const MAIN_TABLE = 254;
/** Of a longer main table (a router's) only default routes and connected prefixes are taken. */
const LONG_TABLE = 1000;
/** Destinations that only a default route leads to (RFC 5737, RFC 3849). */
const ELSEWHERE = { 4: '192.0.2.1', 6: '2001:db8:ffff:ffff::1' } as const;

export interface Routing {
  readonly routes: readonly Route[];
  readonly rules: readonly Rule[];
}

/** What of ours should be there. */
export function wantedRouting(
  state: HostState,
  usable: readonly UsableAddress[],
  routeOf: HostKernel['routeOf'],
): Routing {
  const ours = new Set(ourRouting(state).rules.map((rule) => rule.source));
  const tables = new Map<string, readonly Route[]>();
  const rules: Rule[] = [];
  for (const address of usable) {
    const { ip, family, ifindex } = address;
    const table = tableFor(state, usable, address);
    if (!table.some((route) => route.ifindex === ifindex)) continue; // the link is down
    if (!ours.has(ip) && routesRightly(address, usable, table, routeOf)) continue;
    tables.set(`${family} ${ifindex}`, table);
    rules.push({ family, priority: PRIORITY, source: ip, table: TABLES + ifindex, protocol: PROTOCOL });
  }
  return { routes: [...tables.values()].flat(), rules };
}

/** What of ours is there. */
export function ourRouting({ routes, rules }: HostState): Routing {
  const ours = ({ protocol, table }: Route | Rule) =>
    protocol === PROTOCOL && table >= TABLES && table < TABLES + 0x0100_0000;
  return {
    routes: routes.filter(ours),
    rules: rules.filter((rule) => ours(rule) && rule.priority === PRIORITY),
  };
}

export type Step =
  | { readonly do: 'add' | 'delete'; readonly route: Route }
  | { readonly do: 'add' | 'delete'; readonly rule: Rule };

/** The steps from what is there to what should be, in an order in which no rule points to a table without routes. */
export function steps(there: Routing, wanted: Routing): Step[] {
  const missing = without(wanted.routes, there.routes);
  const connected = missing.filter((route) => route.gateway === undefined);
  const others = missing.filter((route) => route.gateway !== undefined);
  return [
    ...[...connected, ...others].map((route): Step => ({ do: 'add', route })),
    ...without(wanted.rules, there.rules).map((rule): Step => ({ do: 'add', rule })),
    ...without(there.rules, wanted.rules).map((rule): Step => ({ do: 'delete', rule })),
    ...without(there.routes, wanted.routes).map((route): Step => ({ do: 'delete', route })),
  ];
}

function tableFor(
  { routes }: HostState,
  usable: readonly UsableAddress[],
  { family, ifindex }: UsableAddress,
): Route[] {
  const uplinks = new Set(usable.map((address) => address.ifindex));
  const main = routes.filter((route) => route.family === family && route.table === MAIN_TABLE);
  return main
    .filter(
      (route) =>
        (route.ifindex === ifindex || (!uplinks.has(route.ifindex) && !isDefault(route))) &&
        !isLinkLocal(route.destination) &&
        (main.length <= LONG_TABLE || isDefault(route) || route.gateway === undefined),
    )
    .map((route) => ({ ...route, table: TABLES + ifindex, protocol: PROTOCOL }));
}

/** Asks the kernel where packets from this address go: elsewhere, to the neighbours, to the other uplinks' nets. */
function routesRightly(
  { ip, family, ifindex }: UsableAddress,
  usable: readonly UsableAddress[],
  table: readonly Route[],
  routeOf: HostKernel['routeOf'],
): boolean {
  const others = usable.filter((other) => other.family === family && other.ifindex !== ifindex);
  const probes = table.some(isDefault)
    ? [ELSEWHERE[family], neighbour(ip), ...others.map((other) => neighbour(other.ip))]
    : [neighbour(ip)];
  return probes.every((destination) => routeOf(ip, destination) === ifindex);
}

/** The address whose last bit differs: on the same link whatever the prefix, unless that is a single address. */
function neighbour(ip: string): string {
  if (isIPv4(ip)) return ip.replace(/\d+$/, (last) => String(Number(last) ^ 1));
  const [, head, last] = /^(.*:)([0-9a-f]*)$/.exec(ip)!;
  return `${head}${(Number.parseInt(last || '0', 16) ^ 1).toString(16)}`;
}

function without<T extends Route | Rule>(these: readonly T[], those: readonly T[]): T[] {
  const keys = new Set(those.map(key));
  return these.filter((item) => !keys.has(key(item)));
}

/** All that makes a route or rule what it is. */
function key(item: Route | Rule): string {
  return 'source' in item
    ? [item.family, item.priority, item.source, item.table].join()
    : [
        item.family,
        item.table,
        item.destination,
        item.ifindex,
        item.gateway,
        item.metric,
        item.onlink,
        item.mtu,
      ].join();
}
