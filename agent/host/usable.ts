/**
 * Which of the host's addresses subflows may start from.
 *
 * As NetworkManager chooses MPTCP endpoints (its `connection.mptcp-flags`): never loopback, link-local,
 * deprecated, tentative or privacy addresses; no unique local IPv6 addresses, and of each family only
 * where the interface has a default route. An interface that the policy names needs neither: whoever
 * names it knows that it leads somewhere.
 */
import type { InterfaceAddress } from '../netlink/rtnetlink.ts';
import type { HostState } from './kernel.ts';

/** What the policy says of an interface. */
export interface InterfaceRule {
  readonly role: 'primary' | 'backup' | 'ignore';
  readonly metered: boolean;
  /** False when this is merely what holds for interfaces that the policy does not mention. */
  readonly named: boolean;
}

export interface AddressRules {
  interfaceRule(ifname: string): InterfaceRule;
  /** Whether link-local addresses, and temporary IPv6 addresses (RFC 8981), may be used. */
  readonly linkLocal: boolean;
  readonly temporary: boolean;
  /** Addresses that the policy excludes besides. */
  ignored(ip: string): boolean;
}

export interface UsableAddress {
  readonly ip: string;
  readonly family: 4 | 6;
  readonly ifname: string;
  readonly ifindex: number;
  readonly role: 'primary' | 'backup';
  readonly metered: boolean;
  /** False while the link is down or has no carrier: the address stays, but no subflow can start from it. */
  readonly live: boolean;
}

export function usableAddresses(state: HostState, rules: AddressRules): UsableAddress[] {
  const links = new Map(state.links.map((link) => [link.ifindex, link]));
  return state.addresses.flatMap((address) => {
    const { ip, family, ifindex } = address;
    const link = links.get(ifindex);
    if (!link || link.loopback || !fit(address, rules)) return [];
    const { role, metered, named } = rules.interfaceRule(link.ifname);
    if (role === 'ignore') return [];
    if (!named && (isUniqueLocal(ip) || !hasDefaultRoute(state, address))) return [];
    return { ip, family, ifname: link.ifname, ifindex, role, metered, live: link.up && link.carrier };
  });
}

function fit({ ip, tentative, deprecated, temporary }: InterfaceAddress, rules: AddressRules): boolean {
  if (tentative || deprecated || isLoopback(ip) || rules.ignored(ip)) return false;
  return (rules.temporary || !temporary) && (rules.linkLocal || !isLinkLocal(ip));
}

/** 127.0.0.0/8, ::1 */
function isLoopback(ip: string): boolean {
  return ip === '::1' || /^127\..*\./.test(ip);
}

/** 169.254.0.0/16, fe80::/10 */
export function isLinkLocal(ip: string): boolean {
  return /^(169\.254\.|fe[89ab].:)/.test(ip);
}

/** fc00::/7 (RFC 4193). */
function isUniqueLocal(ip: string): boolean {
  return /^f[cd].*:/.test(ip);
}

function hasDefaultRoute({ routes }: HostState, { family, ifindex }: InterfaceAddress): boolean {
  return routes.some((route) => route.family === family && route.ifindex === ifindex && isDefault(route));
}

export function isDefault({ destination }: { destination: string }): boolean {
  return destination === '0.0.0.0/0' || destination === '::/0';
}
