/** `smappctl explain TOKEN`: why a connection is treated as it is. */
import type { ExplanationJson } from '../control/daemon.ts';
import { hex } from '../control/token.ts';
import type { CommandLine } from './command.ts';
import { fields, type Paint, painter, timeOfDay } from './format.ts';

export const explain: CommandLine = {
  name: 'explain',
  args: 'TOKEN',
  summary: 'which rule matched, which controller runs, and every decision with its reason',
  help: 'The last 64 decisions are kept, oldest first. A decision to do nothing has no command.',
  options: {},
  async run({ terminal, args, json, connect }) {
    const client = await connect();
    const result = (await client.call('explain', { token: args[0] })) as ExplanationJson;
    terminal.write(json ? `${JSON.stringify(result)}\n` : describe(result, painter(terminal.colours)));
    return 0;
  },
};

function describe(explanation: ExplanationJson, paint: Paint): string {
  const { token, app, rule, controller, params, decisions, forgotten } = explanation;
  const given = Object.entries(params).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  const head = fields(
    [
      ['connection', `${paint('cyan', hex(token))} (${token})`],
      ['application', app || 'none named: the default'],
      ['rule', rule],
      ['controller', controller || 'none'],
      ['parameters', given.join(', ') || '-'],
    ],
    paint,
  );
  if (decisions.length === 0) return `${head}\nno decisions yet\n`;
  const lines = decisions.map(({ at, why, command, outcome }) => {
    const did = command === undefined ? '' : `${paint('bold', command)}: `;
    const failed = outcome?.startsWith('failed') ? 'red' : 'dim';
    return `${paint('dim', timeOfDay(at))}  ${did}${why}${outcome === undefined ? '' : paint(failed, ` (${outcome})`)}`;
  });
  const lost = forgotten > 0 ? `${paint('dim', `... ${forgotten} older ones are forgotten`)}\n` : '';
  return `${head}\n${lost}${lines.join('\n')}\n`;
}
