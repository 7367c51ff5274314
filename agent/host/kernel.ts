/** What is asked of the kernel about the host's paths. Implemented over rtnetlink (rtnetlink.ts). */
import type { InterfaceAddress, Link, Route, Rule } from '../netlink/rtnetlink.ts';

export interface HostState {
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
  readonly rules: readonly Rule[];
}

/** Every method may throw a NetlinkError. */
export interface HostKernel {
  read(): HostState;
  /** The interface that a packet from `source` to `destination` would leave by; undefined without a route. */
  routeOf(source: string, destination: string): number | undefined;
  addRoute(route: Route): void;
  deleteRoute(route: Route): void;
  addRule(rule: Rule): void;
  deleteRule(rule: Rule): void;
  /** Calls back after anything in HostState changed, or may have (messages were lost). */
  watch(changed: () => void): void;
  close(): void;
}
