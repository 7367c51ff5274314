/** SMAPP section 4.4: 100 MB over four load-balanced paths of 8 Mbit/s and 10 to 40 ms, with five subflows. */
import type { Experiment, Network } from '../experiment.ts';
import { kernelEndpoints, mptcpd, plainTcp, smappd } from '../managers.ts';

const BYTES = 100_000_000;
const CLIENT = '10.0.1.1';
const SERVER = '10.0.9.1';
const PATHS = [10, 20, 30, 40];
const ALIASES = [11, 12, 13, 14].map((host) => `10.0.1.${host}`);
const through = (end: number) => PATHS.map((_, path) => `nexthop via 10.1.${path}.${end}`).join(' ');
/**
 * By addresses and ports as they are in the packet, as a router does. Policy 1 would take the hash that the sender's socket
 * has given to the packet, which no wire carries: it is another one for each socket, and after each RTO.
 */
const balance = [
  'net.ipv4.ip_forward=1',
  'net.ipv4.fib_multipath_hash_policy=3',
  'net.ipv4.fib_multipath_hash_fields=0x37',
].map((setting) => `sysctl -qw ${setting}`);

const network: Network = {
  hosts: {
    client: [
      'ip route add default via 10.0.1.2',
      ...ALIASES.map((one) => `ip addr add ${one}/24 dev client-eth0`),
    ],
    left: [...balance, `ip route add 10.0.9.0/24 ${through(2)}`],
    right: [...balance, `ip route add 10.0.1.0/24 ${through(1)}`],
    server: ['ip route add default via 10.0.9.2'],
  },
  links: [
    { name: 'access', ends: ['client', 'left'], addresses: [CLIENT, '10.0.1.2'] },
    { name: 'uplink', ends: ['server', 'right'], addresses: [SERVER, '10.0.9.2'] },
    ...PATHS.map((delay, path) => ({
      name: `path${path}`,
      ends: ['left', 'right'] as const,
      addresses: [`10.1.${path}.1`, `10.1.${path}.2`] as const,
      bandwidth: 8,
      delay,
      queue: 100,
    })),
  ],
};

export const ecmp: Experiment = {
  name: 'ecmp',
  goal: 'completion mean at most 30 s, worst at most 34 s; bytes_on_wire at most 1.05 times the file',
  network,
  server: ['sink', '5000'],
  client: (transport) => ['bulk', transport, CLIENT, SERVER, '5000', String(BYTES)],
  limit: 200,
  trace: ['client-eth0'],
  cases: [{ name: 'paths=4', faults: [] }],
  managers: [
    smappd({ default: { controller: 'ecmp' } }),
    mptcpd(
      'ndiffports',
      Array.from({ length: 4 }, () => `${CLIENT}/1`),
    ),
    // The in-kernel manager opens one subflow an address, so a user would add addresses.
    kernelEndpoints(
      'kernel-fullmesh',
      '',
      ALIASES.map((address) => ({ address, device: 'client-eth0' })),
    ),
    plainTcp,
  ],
  measure({ server, segments }) {
    const [, bytes, seconds] = server.map((line) => /^done (\d+) (\S+)$/.exec(line)).find(Boolean) ?? [];
    const complete = Number(bytes) === BYTES;
    return [
      {
        metric: 'completion',
        unit: 's',
        values: complete ? [Number(seconds)] : [],
        missing: complete ? 0 : 1,
      },
      // Data only: headers cost every variant the same.
      { metric: 'bytes_on_wire', unit: 'B', values: [segments.reduce((sum, { length }) => sum + length, 0)] },
    ];
  },
};
