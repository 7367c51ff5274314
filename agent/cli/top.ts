/** `smappctl top`: which link carries how much, and what was decided last, until interrupted. */
import type { ControlClient } from '../control/client.ts';
import { type ConnectionJson, MAX_FRESH, type Notice, type StatusJson } from '../control/daemon.ts';
import { ENTER, frame, LEAVE } from '../live.ts';
import { View } from '../view.ts';
import { type CommandLine, UsageError } from './command.ts';

export const top: CommandLine = {
  name: 'top',
  args: '',
  summary: 'live: what each link, connection and subflow carries, and the last decisions',
  help: [
    'Goes on until it is interrupted (Ctrl-C). Where standard output is no terminal, the frames follow each other',
    `as text; with --json each is an object: {"at":MS_SINCE_1970,"status":{...},"connections":[...]}. The first`,
    `${MAX_FRESH} connections are read.`,
  ].join('\n'),
  options: {
    interval: { type: 'string', value: 'SECONDS', doc: 'between two frames (1)' },
    count: { type: 'string', value: 'N', doc: 'frames after which to end' },
  },
  async run({ terminal, options, json, connect }) {
    const seconds = positive('interval', options['interval'] ?? '1');
    const count =
      options['count'] === undefined ? Number.POSITIVE_INFINITY : positive('count', options['count']);
    const client = await connect();
    const view = new View();
    // The stream ends with the connection, and so does everything.
    const gone = client.watch(
      'subscribe',
      {},
      (notice) => view.notice(notice as Notice),
      () => {},
    );
    let ended = false;
    const end = Promise.race([terminal.interrupted(), gone]).finally(() => {
      ended = true;
    });
    const { interactive, colours } = terminal;
    if (interactive && !json) terminal.write(ENTER);
    try {
      for (let frames = 1; ; frames++) {
        const { status, connections } = await reading(client);
        const at = terminal.today();
        if (json) {
          terminal.write(`${JSON.stringify({ at, status, connections })}\n`);
        } else {
          view.reading(at, status, connections);
          const { columns, rows } = terminal; // windows change their size
          const lines = view.lines({
            columns,
            rows: interactive ? rows : Number.MAX_SAFE_INTEGER,
            colour: colours,
          });
          terminal.write(interactive ? frame(lines) : `${lines.join('\n')}\n\n`);
        }
        if (frames >= count) break;
        const next = new Promise<void>((done) => {
          terminal.clock.after(seconds * 1000, done);
        });
        await Promise.race([next, end]);
        if (ended) break;
      }
    } finally {
      if (interactive && !json) terminal.write(LEAVE);
    }
    return 0;
  },
};

async function reading(
  client: ControlClient,
): Promise<{ status: StatusJson; connections: ConnectionJson[] }> {
  const status = (await client.call('status')) as StatusJson;
  const tokens = ((await client.call('tokens')) as number[]).slice(0, MAX_FRESH);
  return { status, connections: (await client.call('connections', { tokens })) as ConnectionJson[] };
}

function positive(name: string, text: string | boolean): number {
  const number = Number(text);
  if (number > 0 && Number.isFinite(number)) return number;
  throw new UsageError(`--${name} ${text}: give a number above 0`);
}
