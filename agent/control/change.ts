/** From what people ask for (`close wlan0`, `open --from wwan0`) to a command with this connection's own subflows and addresses. */

import type { Connection } from '../../controllers/controller.ts';
import { endpoint } from '../connection.ts';
import type { Command, Local, Remote, Subflow } from '../model.ts';
import type { Change } from './daemon.ts';

export interface NotFound {
  readonly message: string;
  readonly choices: readonly string[];
}

/** A connection as far as changes go. */
type Ends = Pick<Connection, 'subflows' | 'locals' | 'remotes'>;

export function resolveChange(connection: Ends, change: Change): Command | NotFound {
  switch (change.kind) {
    case 'open': {
      const local = freeLocal(connection, change.from);
      if ('message' in local) return local;
      const remote = wantedRemote(connection, change.to, local);
      if ('message' in remote) return remote;
      const backup = change.backup ?? local.role === 'backup';
      const port = change.localPort === undefined ? {} : { localPort: change.localPort };
      return { kind: 'open', local, remote, backup, ...port };
    }
    case 'close': {
      const subflow = wantedSubflow(connection, change.subflow);
      return 'message' in subflow ? subflow : { kind: 'close', subflow };
    }
    case 'backup': {
      const subflow = wantedSubflow(connection, change.subflow);
      return 'message' in subflow ? subflow : { kind: 'backup', subflow, on: change.on };
    }
    case 'announce': {
      const local = wantedLocal(connection, change.address);
      const port = change.port === undefined ? {} : { port: change.port };
      return 'message' in local ? local : { kind: 'announce', local, ...port };
    }
    case 'withdraw': {
      const local = wantedLocal(connection, change.address);
      return 'message' in local ? local : { kind: 'withdraw', local };
    }
  }
}

/** By key, its beginning, the local address, or the interface; one subflow must be meant. */
function wantedSubflow({ subflows }: Ends, wanted: string): Subflow | NotFound {
  const exact = subflows.find(({ key }) => key === wanted);
  if (exact) return exact;
  const fits = subflows.filter(
    ({ key, ifname, local }) => key.startsWith(wanted) || ifname === wanted || local.ip === wanted,
  );
  const [only, another] = fits;
  if (only && !another) return only;
  const choices = (only ? fits : subflows).map(({ key }) => key);
  return { message: only ? `"${wanted}" fits more than one subflow` : `no subflow "${wanted}"`, choices };
}

function wantedLocal({ locals }: Ends, wanted: string): Local | NotFound {
  const found = locals.find(({ ip }) => ip === wanted) ?? locals.find(({ ifname }) => ifname === wanted);
  return (
    found ?? {
      message: `"${wanted}" is no address that the policy lets subflows use`,
      choices: named(locals),
    }
  );
}

function freeLocal(connection: Ends, wanted: string | undefined): Local | NotFound {
  if (wanted !== undefined) return wantedLocal(connection, wanted);
  const { subflows } = connection;
  const locals = connection.locals.filter((local) =>
    connection.remotes.some((remote) => sameFamily(local, remote)),
  );
  const free = locals.find(({ ip }) => !subflows.some(({ local }) => local.ip === ip)) ?? locals[0];
  return free ?? { message: 'the policy lets no address be used', choices: [] };
}

function wantedRemote({ remotes }: Ends, wanted: string | undefined, local: Local): Remote | NotFound {
  const reachable = remotes.filter((remote) => sameFamily(local, remote));
  if (wanted === undefined) {
    const [first] = reachable;
    return (
      first ?? {
        message: `no address of the peer can be reached from ${local.ip}`,
        choices: remotes.map(endpoint),
      }
    );
  }
  const known = reachable.find((remote) => remote.ip === wanted || endpoint(remote) === wanted);
  if (known) return known;
  // An address that the peer has not announced is worth a try: it may be the far end of a NAT.
  const [, six, four, port] =
    /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)|[0-9a-f:]+)(?::(\d{1,5}))?$/i.exec(wanted) ?? [];
  const ip = six ?? four ?? (wanted.includes(':') ? wanted : undefined);
  if (ip === undefined || ip.includes(':') !== local.ip.includes(':')) {
    return {
      message: `"${wanted}" is no address that ${local.ip} can reach`,
      choices: reachable.map(endpoint),
    };
  }
  return { id: 0, ip, port: Number(port ?? remotes[0]?.port ?? 0) };
}

function sameFamily(a: { readonly ip: string }, b: { readonly ip: string }): boolean {
  return a.ip.includes(':') === b.ip.includes(':');
}

function named(locals: readonly Local[]): string[] {
  return locals.map(({ ip, ifname }) => `${ip} (${ifname})`);
}
