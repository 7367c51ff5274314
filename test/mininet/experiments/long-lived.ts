/**
 * SMAPP section 4.1: a connection that idles behind a NAT which forgets it. A request after ten idle minutes;
 * both paths lead through the NAT, so neither subflow of a full mesh survives.
 */
import type { Experiment, Network } from '../experiment.ts';
import { kernelEndpoints, mptcpd, plainTcp, smappd, smappdAtBothEnds } from '../managers.ts';

const REQUESTS = 1;
const IDLE = 600;
const SERVER = '10.0.9.1';
const PRIMARY = { address: '10.0.1.1', device: 'client-eth0' };
const SECOND = { address: '10.0.2.1', device: 'client-eth1' };

const network: Network = {
  hosts: {
    client: [
      'ip route add default via 10.0.1.2',
      ...[1, 2].map((path) => `ip route add default via 10.0.${path}.2 table ${path}`),
      ...[1, 2].map((path) => `ip rule add from 10.0.${path}.1 table ${path}`),
    ],
    nat: [
      'sysctl -qw net.ipv4.ip_forward=1',
      'nft add table ip nat',
      "nft 'add chain ip nat out { type nat hook postrouting priority 100; }'",
      'nft add rule ip nat out oifname nat-eth2 masquerade',
      'nft add table ip filter',
      "nft 'add chain ip filter forward { type filter hook forward priority 0; }'",
      'sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=60 net.netfilter.nf_conntrack_tcp_loose=0',
    ],
    server: ['ip route add default via 10.0.9.2'],
  },
  links: [
    { name: 'first', ends: ['client', 'nat'], addresses: [PRIMARY.address, '10.0.1.2'] },
    { name: 'second', ends: ['client', 'nat'], addresses: [SECOND.address, '10.0.2.2'] },
    {
      name: 'internet',
      ends: ['nat', 'server'],
      addresses: ['10.0.9.2', SERVER],
      bandwidth: 10,
      delay: 20,
      queue: 100,
    },
  ],
};

const answerInvalid = (verdict: string) => [
  { at: 1, host: 'nat', command: `nft add rule ip filter forward ct state invalid ${verdict}` },
];

const policy = {
  interfaces: { [PRIMARY.device]: { role: 'primary' }, [SECOND.device]: { role: 'backup' } },
  default: { controller: 'long-lived' },
};

export const longLived: Experiment = {
  name: 'long-lived',
  goal: 'answer within RTO + 2 RTT (320 ms) when the NAT drops, within 3 RTT (120 ms) when it resets; no packet in between',
  network,
  server: ['answer', '5000'],
  client: (transport) => ['ask', transport, PRIMARY.address, SERVER, '5000', String(IDLE), String(REQUESTS)],
  instruction: 1,
  limit: REQUESTS * IDLE + 300,
  trace: [PRIMARY.device, SECOND.device],
  cases: [
    { name: 'drop', faults: answerInvalid('drop') },
    { name: 'reset', faults: answerInvalid('counter reject with tcp reset') },
  ],
  managers: [
    smappdAtBothEnds(policy, { default: { controller: 'long-lived' } }),
    smappd(policy, 'smappd-client'),
    kernelEndpoints('kernel-fullmesh', 'fullmesh', [SECOND]),
    kernelEndpoints('kernel-backup', 'backup', [SECOND]),
    mptcpd('mptcpd', [`${SECOND.address}/2`]),
    plainTcp,
  ],
  measure({ client, segments, start }) {
    const asked = client
      .flatMap((line) => /^asked (\S+)$/.exec(line)?.[1] ?? [])
      .map((at) => Number(at) - start);
    const answers = client.flatMap((line) => /^answer \d+ (\S+)$/.exec(line)?.[1] ?? []).map(Number);
    const exchanges = client.flatMap((line) => /^exchange (\S+)$/.exec(line)?.[1] ?? []).map(Number);
    // A second after the last answer, acknowledgements and repairs are over.
    const idle = asked.map((at, index) => {
      const from = index === 0 ? 1 : asked[index - 1]! + answers[index - 1]! + 1;
      return segments.filter((segment) => segment.at > from && segment.at < at - 0.001).length;
    });
    return [
      {
        metric: 'answer',
        unit: 'ms',
        values: answers.map((seconds) => seconds * 1000),
        missing: REQUESTS - answers.length,
      },
      // Of requests while the path was known: what the answer compares to.
      { metric: 'round_trip', unit: 'ms', values: exchanges.map((seconds) => seconds * 1000) },
      { metric: 'packets_between', unit: 'packets', values: idle },
    ];
  },
};
