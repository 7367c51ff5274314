/** Texts in a policy that a pattern alone cannot judge, and how each becomes what the agent works with. */
import ipaddr from 'ipaddr.js';
import type { Schema } from './kinds.ts';

/** Both ends belong to it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export type Ip = ipaddr.IPv4 | ipaddr.IPv6;
/** An address and the number of its leading bits that count. */
export type Cidr = readonly [address: Ip, prefix: number];

/** Networks contain only addresses of their own family. */
export function contains(networks: readonly Cidr[], ip: Ip): boolean {
  return networks.some(([network, prefix]) => network.kind() === ip.kind() && ip.match(network, prefix));
}

interface Item<T> {
  readonly schema: Schema;
  parse(written: unknown): T;
}

/** A port (443), or a range of ports ("8000-8999"). */
export const ports: Item<PortRange> = {
  schema: {
    type: ['integer', 'string'],
    minimum: 0,
    maximum: 65535,
    format: 'port-range',
    examples: ['8000-8999'],
  },
  parse: (written) =>
    typeof written === 'number' ? { first: written, last: written } : parsePortRange(String(written))!,
};

/** A network ("10.0.0.0/8", "2001:db8::/32") or a single address. */
export const cidr: Item<Cidr> = {
  schema: { type: 'string', format: 'cidr', examples: ['10.0.0.0/8'] },
  parse: (written) => parseCidr(String(written))!,
};

/** What ajv needs to judge them; each says whether a text is well formed. */
export const formats: Readonly<Record<string, (written: string) => boolean>> = {
  'port-range': (written) => parsePortRange(written) !== undefined,
  cidr: (written) => parseCidr(written) !== undefined,
};

function parsePortRange(written: string): PortRange | undefined {
  const [, from, to] = /^(\d{1,5})-(\d{1,5})$/.exec(written) ?? [];
  const range = { first: Number(from), last: Number(to) };
  return range.first <= range.last && range.last <= 65535 ? range : undefined;
}

function parseCidr(written: string): Cidr | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(written)) return [ipaddr.parse(written), 32];
  if (ipaddr.IPv6.isValid(written)) return [ipaddr.parse(written), 128];
  return ipaddr.isValidCIDR(written) ? ipaddr.parseCIDR(written) : undefined;
}
