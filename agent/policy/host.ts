/** What the policy means for the host's paths: usable interfaces and addresses, and source routing. */
import ipaddr from 'ipaddr.js';
import type { HostSettings } from '../host/paths.ts';
import { contains } from './formats.ts';
import { interfaceUse } from './interfaces.ts';
import type { Policy } from './sections.ts';

export function hostSettings({ interfaces, ignore, routing }: Policy): HostSettings {
  return {
    addresses: {
      interfaceRule: (ifname) => interfaceUse(interfaces, ifname),
      linkLocal: !ignore.linkLocal,
      temporary: !ignore.temporary,
      ignored: (ip) => contains(ignore.addresses, ipaddr.parse(ip)),
    },
    sourceRouting: routing,
  };
}
