/** `smappctl record FILE` and `smappctl replay FILE`: from a bug on one machine to a scenario on another. */
import { closeSync, createReadStream, openSync, writeSync } from 'node:fs';
import { controllers } from '../../controllers/all.ts';
import { hex } from '../control/token.ts';
import type { Policy } from '../policy.ts';
import type { Line, RecordedChoice } from '../record.ts';
import { type Replayed, readRecording, replay as replayLines } from '../replay.ts';
import type { CommandLine } from './command.ts';
import { type Paint, painter, plural } from './format.ts';

export const record: CommandLine = {
  name: 'record',
  args: 'FILE',
  summary: "write down all that goes into the daemon's decisions, until interrupted",
  help: [
    'FILE gets a JSON object a line: the state at the beginning, then events, readings, commands and decisions. It',
    "holds addresses and ports of this host's connections, and none of what they carry. - is standard output.",
    'Play it with smappctl replay.',
  ].join('\n'),
  options: { for: { type: 'string', value: 'SECONDS', doc: 'end by itself after so long' } },
  async run({ terminal, args, options, json, connect }) {
    const client = await connect();
    const [file = '-'] = args;
    const fd = file === '-' ? undefined : openSync(file, 'w', 0o600);
    const put = (line: Line): void => {
      const text = `${JSON.stringify(line)}\n`;
      if (fd === undefined) terminal.write(text);
      else writeSync(fd, text); // at once: a recording is worth most when the machine dies
    };
    let lines = 0;
    let lost = 0;
    let at = 0;
    void terminal.interrupted().then(() => client.close());
    if (options['for'] !== undefined) {
      terminal.clock.after(Number(options['for']) * 1000, () => client.close());
    }
    try {
      await client.watch(
        'record',
        {},
        (params) => {
          const line = params as Line;
          lines += 1;
          at = line.at;
          put(line);
        },
        (count) => {
          lost += count;
          put({ kind: 'dropped', at, count });
        },
      );
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
    if (fd !== undefined && json) terminal.write(`${JSON.stringify({ file, lines, dropped: lost })}\n`);
    else if (fd !== undefined) terminal.complain(`${file}: ${plural(lines, 'line')}\n`);
    if (lost > 0) terminal.complain(`${plural(lost, 'line')} got lost: too much happened at once\n`);
    return 0;
  },
};

export const replay: CommandLine = {
  name: 'replay',
  args: 'FILE',
  summary: 'play a recording through the agent, and compare what it decides with what was decided then',
  help: [
    'Needs no daemon and no root; time is simulated. Each decision is marked: "=" as recorded, "+" only now, "-"',
    'only then. Exit status 1 when any differs. With --policy the applications of the recording get what another',
    'policy gives to those of the same name.',
  ].join('\n'),
  options: { policy: { type: 'string', value: 'FILE', doc: 'another policy than the recorded one' } },
  async run({ terminal, args, options, json }) {
    const [file = ''] = args;
    const path = options['policy'];
    const policy = typeof path === 'string' ? await load(path, terminal.uid) : undefined;
    const lines = await readRecording(createReadStream(file)).catch((error: Error) => {
      throw new Error(`${file}: ${error.message}`);
    });
    const decisions = replayLines(lines, policy ? { controllers, choose: byName(policy) } : { controllers });
    const count = (verdict: Replayed['verdict']): number =>
      decisions.filter((one) => one.verdict === verdict).length;
    const counts = { same: count('same'), new: count('new'), missing: count('missing') };
    const [{ epoch }] = lines as [Line & { kind: 'start' }];
    if (json) {
      const dated = decisions.map((one) => ({ ...one, at: new Date(epoch + one.at).toISOString() }));
      terminal.write(`${JSON.stringify({ ...counts, decisions: dated })}\n`);
    } else {
      const paint = painter(terminal.colours);
      const from = lines[0]?.at ?? 0;
      for (const one of decisions) terminal.write(`${decisionLine(one, from, paint)}\n`);
      terminal.complain(`${counts.same} as recorded, ${counts.new} new, ${counts.missing} missing\n`);
    }
    return counts.new + counts.missing > 0 ? 1 : 0;
  },
};

async function load(path: string, uid: number): Promise<Policy> {
  const { loadPolicy } = await import('../policy.ts'); // a tenth of a second, for this alone
  return await loadPolicy(path, { controllers, uid });
}

function byName({ apps, default: fallback }: Policy) {
  return ({ app: name, rule }: RecordedChoice) => {
    const app = apps.find((one) => one.name === name);
    if (app) return { app: name, controller: app.controller, params: app.params, why: rule };
    return { app: '', ...fallback, why: `the default, as there is no app "${name}"` };
  };
}

const MARKS = { same: ['=', 'dim'], new: ['+', 'green'], missing: ['-', 'red'] } as const;

function decisionLine({ at, token, why, command, verdict }: Replayed, from: number, paint: Paint): string {
  const [mark, style] = MARKS[verdict];
  const seconds = ((at - from) / 1000).toFixed(3).padStart(9);
  return `${paint(style, mark)} ${paint('dim', seconds)}  ${paint('cyan', hex(token))}  ${command ? `${paint('bold', command)}: ` : ''}${why}`;
}
