/**
 * Does what `pm_nl_ctl` of the kernel's own MPTCP tests does, with its grammar and its output, over our codecs
 * and our transport: so that upstream's scripts can judge them.
 *
 *   ann IP id N token N [port N] [dev NAME]     csf lip IP lid N rip IP rport N token N
 *   rem id N token N                            dsf lip IP lport N rip IP rport N token N
 *   set IP [port N] flags backup|nobackup token N rip IP rport N
 *   events                                      listen IP PORT
 */
import net from 'node:net';
import type { Address, Local, Remote, Subflow } from '../../agent/model.ts';
import { loadAddon } from '../../agent/netlink/addon.ts';
import { EVENT_ATTR, type PathCommand, PathManager } from '../../agent/netlink/mptcp-pm.ts';

const [verb, ...words] = process.argv.slice(2);
const addon = loadAddon();

/** The words after the verb as pairs, whatever stands before the first keyword as `ip`. */
function options(): (keyword: string) => string | undefined {
  const plain = verb === 'ann' || verb === 'set' ? ['ip', ...words] : words;
  const pairs = new Map<string, string>();
  for (let i = 0; i + 1 < plain.length; i += 2) pairs.set(plain[i]!, plain[i + 1]!);
  return (keyword) => pairs.get(keyword);
}

function command(): PathCommand {
  const option = options();
  const text = (keyword: string): string => option(keyword) ?? usage();
  const local = (ip: string, id: string): Local => {
    return { ip: text(ip), id: Number(text(id)), ifname: '', ifindex: 0, role: 'primary', metered: false };
  };
  const address = (ip: string, port: string): Address => ({ ip: text(ip), port: Number(option(port) ?? 0) });
  const remote = (): Remote => ({ ...address('rip', 'rport'), id: 0 });
  const subflow = (ip: string, port: string): Subflow => {
    const rest = { key: '', localId: 0, remoteId: 0, ifname: '', backup: false, since: 0, stats: undefined };
    return { local: address(ip, port), remote: remote(), ...rest };
  };
  switch (verb) {
    case 'ann':
      return { kind: 'announce', local: local('ip', 'id'), port: Number(option('port') ?? 0) };
    case 'rem':
      return { kind: 'withdraw', local: { ...local('id', 'id'), ip: '' } };
    case 'csf':
      return { kind: 'open', local: local('lip', 'lid'), remote: remote(), backup: false };
    case 'dsf':
      return { kind: 'close', subflow: subflow('lip', 'lport') };
    case 'set':
      return { kind: 'backup', subflow: subflow('ip', 'port'), on: text('flags') === 'backup' };
    default:
      return usage();
  }
}

/** Upstream's names, in the order of our table. */
const FIELDS = {
  token: 'token',
  family: 'family',
  locId: 'loc_id',
  remId: 'rem_id',
  saddr4: 'saddr4',
  saddr6: 'saddr6',
  daddr4: 'daddr4',
  daddr6: 'daddr6',
  sport: 'sport',
  dport: 'dport',
  backup: 'backup',
  error: 'error',
  serverSide: 'server_side',
} as const;
const DENY_JOIN_ID0 = 1;

function printEvents(): void {
  const fail = (error?: Error): void => {
    process.stderr.write(`${error?.message ?? 'events were lost'}\n`);
    process.exit(1);
  };
  new PathManager(addon).watch(1 << 20, {
    message(_, view, from, to) {
      const attr = EVENT_ATTR.decode(view, from + 4, to);
      const fields = Object.entries(FIELDS).map(([name, field]) => {
        const value = attr[name as keyof typeof FIELDS];
        if (value === undefined) return '';
        // Our codec writes IPv4-mapped addresses as IPv4.
        return `,${field}:${/addr6$/.test(field) && !`${value}`.includes(':') ? '::ffff:' : ''}${value}`;
      });
      const flags = (attr.flags ?? 0) & DENY_JOIN_ID0 ? ',deny_join_id0:1' : '';
      process.stderr.write(`type:${view.getUint8(from)}${fields.join('')}${flags}\n`);
    },
    lost: fail,
    malformed: fail,
    failed: fail,
  });
}

function listen(ip: string, port: number): void {
  const fd = addon.streamSocket(net.isIPv6(ip) ? 6 : 4);
  addon.bindSocket(fd, ip, port);
  net.createServer().listen({ fd });
  // Upstream's script ends it with SIGUSR1, which would start Node's debugger.
  process.on('SIGUSR1', () => process.exit());
}

function usage(): never {
  process.stderr.write('usage: pm_nl_ctl ann|rem|csf|dsf|set|events|listen ...\n');
  process.exit(1);
}

if (verb === 'events') {
  printEvents();
} else if (verb === 'listen') {
  listen(words[0] ?? usage(), Number(words[1] ?? usage()));
} else {
  const token = Number(options()('token') ?? usage());
  try {
    new PathManager(addon).execute(token, command());
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(1);
  }
}
