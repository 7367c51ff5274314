/** The network of SMAPP's sections 4.2 and 4.3: a client with two paths of 5 Mbit/s and 10 ms to one server. */
import type { Manager, Measured, Network, Observed } from '../experiment.ts';
import { kernelEndpoints, mptcpd } from '../managers.ts';

export const SERVER = '10.0.9.1';
export const PRIMARY = { address: '10.0.1.1', device: 'client-eth0' };
export const SECOND = { address: '10.0.2.1', device: 'client-eth1' };

const shape = { bandwidth: 5, delay: 10, queue: 100 };

export const network: Network = {
  hosts: {
    client: [
      'ip route add default via 10.0.1.2',
      ...[1, 2].map((path) => `ip route add default via 10.0.${path}.2 table ${path}`),
      ...[1, 2].map((path) => `ip rule add from 10.0.${path}.1 table ${path}`),
    ],
    router: ['sysctl -qw net.ipv4.ip_forward=1'],
    server: ['ip route add default via 10.0.9.2'],
  },
  links: [
    { name: 'primary', ends: ['client', 'router'], addresses: ['10.0.1.1', '10.0.1.2'], ...shape },
    { name: 'second', ends: ['client', 'router'], addresses: ['10.0.2.1', '10.0.2.2'], ...shape },
    { name: 'uplink', ends: ['server', 'router'], addresses: ['10.0.9.1', '10.0.9.2'] },
  ],
};

/** The policy's view of the two paths. */
export const interfaces = {
  [PRIMARY.device]: { role: 'primary' },
  [SECOND.device]: { role: 'backup', metered: true },
};

export const kernelFullmesh: Manager = kernelEndpoints('kernel-fullmesh', 'fullmesh', [SECOND]);
export const kernelBackup: Manager = kernelEndpoints('kernel-backup', 'backup', [SECOND]);
export const mptcpdSecond: Manager = mptcpd('mptcpd', [`${SECOND.address}/2`]);
export const mptcpdBackup: Manager = mptcpd('mptcpd', [`${SECOND.address}/2/backup`]);

/** The delays of `count` blocks, from when each was due to when the server had read all of it, and their mean. */
export function blockDelays({ server }: Observed, count: number): Measured[] {
  const values = server.flatMap((line) => /^block \d+ (\S+)$/.exec(line)?.[1] ?? []).map(Number);
  const missing = count - values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  return [
    { metric: 'mean_block_delay', unit: 's', values: missing ? [] : [mean], missing: missing ? 1 : 0 },
    { metric: 'block_delay', unit: 's', values, missing },
  ];
}

/** Bytes of data that left by the second path while `when` held (seconds from the connection). */
export function secondPathBytes({ segments }: Observed, when: (at: number) => boolean): number {
  return segments
    .filter((segment) => segment.interface === SECOND.device && when(segment.at))
    .reduce((sum, segment) => sum + segment.length, 0);
}
