/**
 * What transparent mode needs of the host: an nftables table that hands clients' packets to the listeners
 * (TPROXY, the kernel's Documentation/networking/tproxy.rst), and routing that takes marked packets for
 * local ones. Table, mark and routing table are ours alone, so that what a crash left behind can be
 * told from what belongs to others, and taken away by name.
 *
 * The destination port must stay as it is: the kernel rejects an MP_JOIN that arrives at another port
 * than its connection's (MPTcpExtMismatchPortSynRx). So there is a rule and a listener a port.
 */
import type { ConverterPolicy } from './section.ts';

export const TABLE = 'smappd_converter';
export const MARK = 0x53_4d;
const ROUTES = 21_325;
const PREFERENCE = 21_325;
/** Of our routes in the table `local`, by which they are known. */
const PROTOCOL = 213;

/**
 * Input of `nft -f -` that replaces our table, in one transaction. `kernelHolds`: the kernel module listens at
 * transparent doors, and holds SYNs there without our rules.
 */
export function nftRules(policy: ConverterPolicy, kernelHolds = false): string {
  const { transparent, explicit } = policy;
  const lines = [...clear(), `table inet ${TABLE} {`];
  lines.push('  chain prerouting {', '    type filter hook prerouting priority mangle; policy accept;');
  lines.push('    meta l4proto != tcp accept');
  const clients = transparent.interfaces.map((name) => `"${name}"`).join(', ');
  if (transparent.ports.length > 0 && clients !== '') {
    const ports = transparent.ports.join(', ');
    if (transparent.spoof) lines.push(`    socket transparent 1 socket wildcard 0 ${marked()}`);
    if (policy.synOpen === 'hold' && !kernelHolds) {
      lines.push(`    iifname "lo" meta mark ${MARK} tcp dport { ${ports} } jump divert`);
      lines.push(`    iifname { ${clients} } tcp dport { ${ports} } fib daddr type != local jump hold`);
    }
    lines.push(`    iifname { ${clients} } tcp dport { ${ports} } fib daddr type != local jump divert`);
  }
  const explicitPorts = [...new Set(explicit.listen.map((address) => address.replace(/.*:/, '')))];
  if (explicitPorts.length > 0 && policy.synOpen === 'hold') {
    lines.push(
      `    iifname != "lo" tcp dport { ${explicitPorts.join(', ')} } fib daddr type local jump hold`,
    );
  }
  lines.push('  }', '  chain divert {');
  for (const port of transparent.ports) {
    lines.push(`    meta nfproto ipv4 tcp dport ${port} tproxy ip to :${port} ${marked()}`);
    lines.push(`    meta nfproto ipv6 tcp dport ${port} tproxy ip6 to :${port} ${marked()}`);
  }
  // The data path's packet socket has seen the SYN already, and gives it back through `lo` later. MP_JOIN
  // (subtype 1, RFC 8684) is not held.
  lines.push('  }', '  chain hold {', '    tcp flags & (fin | syn | rst | ack) != syn return');
  lines.push('    tcp option mptcp subtype 1 return', '    counter drop', '  }', '}', '');
  return lines.join('\n');
}

function marked(): string {
  return `meta mark set ${MARK} accept`;
}

/** Input of `nft -f -` that takes our table away, whether it is there or not. */
export function nftClear(): string {
  return `${clear().join('\n')}\n`;
}

function clear(): string[] {
  return [`table inet ${TABLE} {}`, `delete table inet ${TABLE}`];
}

/**
 * Arguments of `ip`, for each family. They change nothing that is there already: without them for a moment,
 * packets of established connections would leave for the servers, which reset them. `rule add` fails then.
 */
export const routeCommands: readonly string[] = [
  `route replace local default dev lo table ${ROUTES} proto static`,
  `rule add fwmark ${MARK} lookup ${ROUTES} pref ${PREFERENCE}`,
];

/** The same for taking them away; each fails when there is nothing to take. */
export const routeClearCommands: readonly string[] = [
  `rule del fwmark ${MARK} lookup ${ROUTES} pref ${PREFERENCE}`,
  `route flush table ${ROUTES}`,
];

/** Arguments of `ip` that make all addresses of these networks the host's own. */
export function networkCommands({ explicit }: ConverterPolicy): readonly string[] {
  return explicit.networks.map(
    ([address, bits]) => `-6 route replace local ${address}/${bits} dev lo proto ${PROTOCOL}`,
  );
}

/** And no longer, whichever they were. */
export const networkClearCommand = `-6 route flush table local proto ${PROTOCOL}`;
