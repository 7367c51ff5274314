/**
 * HTTP proxy mode (WWIC'16): Squid does HTTP, behind one of the data path's doors, which does MPTCP. Squid
 * caches nothing and keeps nothing on disk.
 */
import { userInfo } from 'node:os';
import type { Cidr } from '../policy/formats.ts';
import type { Program } from './keeper.ts';
import type { Machine } from './machine.ts';
import type { ConverterPolicy } from './section.ts';

/** Networks that no client may reach through a proxy unless the policy allows it (RFC 6890). */
const SPECIAL = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/128',
  '::1/128',
  'fc00::/7',
  'fe80::/10',
  'ff00::/8',
];

export function squidConfiguration({ http, allow, deny }: ConverterPolicy): string {
  const networks = (list: readonly Cidr[]) => list.map(([address, prefix]) => `${address}/${prefix}`);
  const connect = http.connectPorts.length > 0 ? http.connectPorts : [443];
  const acl = (name: string, list: readonly string[]) =>
    list.length > 0 ? [`acl ${name} dst ${list.join(' ')}`] : [];
  return `${[
    `http_port 127.0.0.1:${http.port}`,
    ...acl('allowed', networks(allow)),
    ...acl('denied', networks(deny)),
    ...acl('special', SPECIAL),
    `acl connect_ports port ${connect.join(' ')}`,
    'acl CONNECT method CONNECT',
    'http_access deny CONNECT !connect_ports',
    ...(allow.length > 0 ? ['http_access allow allowed'] : []),
    ...(deny.length > 0 ? ['http_access deny denied'] : []),
    'http_access deny special',
    // Only the data path connects to the loopback address, and it has checked the source.
    'http_access allow all',
    'cache deny all',
    'cache_mem 0 MB',
    'memory_pools off',
    'via off',
    'forwarded_for delete',
    'access_log none',
    'cache_log stdio:/dev/stderr',
    'cache_store_log none',
    'pid_filename none',
    'netdb_filename none',
    'pinger_enable off',
    'icon_directory /usr/share/squid/icons',
    'shutdown_lifetime 1 second',
  ].join('\n')}\n`;
}

export function squid(machine: Machine, file: string): Program {
  return {
    name: 'squid',
    // Squid's shared memory goes by its name, outlives a kill, and is closed to other users: those of the host's own
    // Squid, and of a smappd that ran as somebody else.
    start: () => machine.start('squid', ['-N', '-n', `smappd${userInfo().uid}`, '-f', file]),
    ready: async (_child, lines) => {
      await lines.next(/Accepting HTTP Socket connections/);
    },
  };
}
