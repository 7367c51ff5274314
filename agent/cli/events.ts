/** `smappctl events`: everything that happens, as it happens. */
import type { Notice } from '../control/daemon.ts';
import { hex } from '../control/token.ts';
import type { Event } from '../model.ts';
import type { CommandLine } from './command.ts';
import { type Paint, painter, timeOfDay } from './format.ts';

export const events: CommandLine = {
  name: 'events',
  args: '[TOKEN]',
  summary: 'every event and decision as it happens, of all connections or one',
  help: [
    'Goes on until it is interrupted. With --json each line is an object: {"at":MS_SINCE_1970,"kind":...}.',
    'When this reads too slowly for what happens, some is left out, and how much is said.',
  ].join('\n'),
  options: {},
  async run({ terminal, args, json, connect }) {
    const client = await connect();
    void terminal.interrupted().then(() => client.close());
    const paint = painter(terminal.colours);
    const [token] = args;
    await client.watch(
      'subscribe',
      token === undefined ? {} : { token },
      (params) => {
        const notice = params as Notice;
        terminal.write(`${json ? JSON.stringify(flat(notice)) : line(notice, paint)}\n`);
      },
      (count) => {
        if (json) terminal.write(`${JSON.stringify({ kind: 'dropped', count })}\n`);
        else terminal.complain(`${count} lines were left out: this reads too slowly\n`);
      },
    );
    return 0;
  },
};

/** One object a line, without nesting what only this program's types need nested. */
function flat(notice: Notice): object {
  if (notice.kind === 'decision') return notice;
  const { kind, ...rest } = notice.event;
  return { at: notice.at, kind, ...rest };
}

function line(notice: Notice, paint: Paint): string {
  const time = paint('dim', timeOfDay(notice.at));
  if (notice.kind === 'event') {
    const { event } = notice;
    const token = 'token' in event ? paint('cyan', hex(event.token)) : ' '.repeat(10);
    return `${time}  ${token}  ${event.kind.padEnd(12)} ${eventText(event)}`;
  }
  const { token, why, command, outcome } = notice;
  const did = command === undefined ? '' : `${paint('bold', command)}: `;
  const end = outcome?.startsWith('failed') ? paint('red', ` (${outcome})`) : '';
  return `${time}  ${paint('cyan', hex(token))}  ${paint('green', 'decision'.padEnd(12))} ${did}${why}${end}`;
}

/** What an event says besides its kind and its connection. */
export function eventText(event: Event): string {
  switch (event.kind) {
    case 'created':
    case 'established':
      return `${event.side}, ${ends(event)}`;
    case 'subflow-up':
    case 'priority':
      return `${ends(event)}${event.backup ? ', backup' : ''}`;
    case 'subflow-down':
      return `${ends(event)}, errno ${event.errno}${event.resetReason ? `, reset reason ${event.resetReason}` : ''}`;
    case 'stalled':
      return `${ends(event)}, RTO ${event.rto} ms`;
    case 'resumed':
      return `after ${(event.silence / 1000).toFixed(1)} s of silence`;
    case 'pong':
      return `${ends(event)}, after ${event.took.toFixed(1)} ms`;
    case 'remote-up':
      return `${end(event.remote)}, id ${event.remote.id}`;
    case 'remote-down':
      return `id ${event.id}`;
    case 'listener-up':
    case 'listener-down':
      return end(event.local);
    case 'local-up':
    case 'local-down':
      return `${event.local.ip} on ${event.local.ifname}`;
    case 'closed':
      return '';
    case 'lost':
      return 'events were lost: reading the state again';
  }
}

const end = ({ ip, port }: { ip: string; port: number }): string =>
  ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
const ends = ({ local, remote }: Pick<Event & { kind: 'stalled' }, 'local' | 'remote'>): string =>
  `${end(local)} -> ${end(remote)}`;
