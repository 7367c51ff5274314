/** `smappctl connections` and `smappctl show TOKEN`: what the host's connections do now. */
import type { ControlClient } from '../control/client.ts';
import { type ConnectionJson, MAX_FRESH } from '../control/daemon.ts';
import { hex } from '../control/token.ts';
import type { CommandLine } from './command.ts';
import { ago, bytes, fields, micros, type Paint, painter, plural, table } from './format.ts';

export const connections: CommandLine = {
  name: 'connections',
  args: '',
  summary: 'all MPTCP connections of this host',
  help: [
    'One line a connection: its token, side, the application that the policy took it for, its controller, both',
    "ends of its first subflow, and its subflows' interfaces (in brackets those that are backups).",
    'Connections under the in-kernel path manager are shown, with "-" as their controller.',
  ].join('\n'),
  options: {},
  async run({ terminal, json, connect }) {
    const client = await connect();
    const all = await allConnections(client);
    terminal.write(
      json
        ? `${JSON.stringify({ connections: all })}\n`
        : list(all, terminal.today(), painter(terminal.colours)),
    );
    return 0;
  },
};

export const show: CommandLine = {
  name: 'show',
  args: 'TOKEN',
  summary: 'one connection, its subflows read from the kernel now',
  help: [
    'TOKEN is decimal or 0x-hexadecimal, as `ip mptcp monitor` and `ss` write it; its beginning will do if no',
    'other connection has the same.',
  ].join('\n'),
  options: {},
  async run({ terminal, args, json, connect }) {
    const client = await connect();
    const connection = (await client.call('show', { token: args[0] })) as ConnectionJson;
    terminal.write(
      json
        ? `${JSON.stringify(connection)}\n`
        : detail(connection, terminal.today(), painter(terminal.colours)),
    );
    return 0;
  },
};

/** A part at a time, so that the daemon's events do not wait for us. */
export async function allConnections(client: ControlClient): Promise<ConnectionJson[]> {
  const tokens = (await client.call('tokens')) as number[];
  const all: ConnectionJson[] = [];
  for (let from = 0; from < tokens.length; from += MAX_FRESH) {
    const part = { tokens: tokens.slice(from, from + MAX_FRESH) };
    all.push(...((await client.call('connections', part)) as ConnectionJson[]));
  }
  return all;
}

function list(all: readonly ConnectionJson[], now: number, paint: Paint): string {
  if (all.length === 0) {
    return 'no MPTCP connections (smappctl doctor says whether they can be made)\n';
  }
  const rows = all.map((connection) => [
    paint('cyan', hex(connection.token)),
    connection.side,
    connection.app || '-',
    connection.controller || '-',
    connection.local || '-',
    connection.remote || '-',
    ago(connection.since, now),
    connection.subflows
      .map(({ ifname, local, backup }) => {
        const name = ifname || local;
        return backup ? `[${name}]` : name;
      })
      .join(' ') || 'none',
  ]);
  return table(['TOKEN', 'SIDE', 'APP', 'CONTROLLER', 'LOCAL', 'REMOTE', 'AGE', 'SUBFLOWS'], rows, paint);
}

function detail(connection: ConnectionJson, now: number, paint: Paint): string {
  const { token, side, app, controller, commanded, local, remote, since, subflows } = connection;
  const head = fields(
    [
      ['connection', `${paint('cyan', hex(token))} (${token}), ${side}, for ${ago(since, now)}`],
      ['ends', `${local} -> ${remote}`],
      ['application', app || 'none named: the default'],
      ['controller', commanded ? controller : 'none: the in-kernel path manager has this connection'],
      ['subflows', plural(subflows.length, 'subflow')],
    ],
    paint,
  );
  if (subflows.length === 0) return head;
  const rows = subflows.map((subflow) => [
    subflow.key,
    subflow.ifname || '-',
    subflow.state,
    subflow.backup ? 'yes' : 'no',
    micros(subflow.rtt_us),
    micros(subflow.rto_us),
    subflow.pacing_rate === null ? '-' : `${bytes(subflow.pacing_rate)}/s`,
    bytes(subflow.bytes_acked),
    bytes(subflow.bytes_received),
    String(subflow.retransmits ?? '-'),
  ]);
  const names = ['SUBFLOW', 'LINK', 'STATE', 'BACKUP', 'RTT', 'RTO', 'PACING', 'SENT', 'RECEIVED', 'RETRANS'];
  return `${head}\n${table(names, rows, paint)}`;
}
