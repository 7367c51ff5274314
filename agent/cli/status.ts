/** `smappctl status` and `smappctl reload`: the daemon itself. */
import type { ReloadJson, StatusJson } from '../control/daemon.ts';
import type { CommandLine } from './command.ts';
import { ago, fields, type Paint, painter, plural } from './format.ts';

export const status: CommandLine = {
  name: 'status',
  args: '',
  summary: 'the daemon: version, policy, counts, local addresses',
  help: 'Shows what runs, under which policy, how many connections it holds, and which addresses it may use.',
  options: {},
  async run({ terminal, json, connect }) {
    const client = await connect();
    const result = (await client.call('status')) as StatusJson;
    terminal.write(
      json ? `${JSON.stringify(result)}\n` : describe(result, terminal.today(), painter(terminal.colours)),
    );
    return 0;
  },
};

export const reload: CommandLine = {
  name: 'reload',
  args: '',
  summary: 'read the policy file again',
  help: [
    'Connections whose rule gives them another controller or other parameters start anew under it.',
    'A file with errors changes nothing: the errors are shown, the running policy stays in force, and the',
    'exit status is 1.',
  ].join('\n'),
  options: {},
  async run({ terminal, json, connect }) {
    const client = await connect();
    const result = (await client.call('reload')) as ReloadJson;
    if (json) terminal.write(`${JSON.stringify(result)}\n`);
    else if (result.ok) terminal.write(`${result.file} is in force\n`);
    else if (result.converter !== undefined)
      terminal.complain(`${result.file} is in force, but ${result.converter}\n`);
    else terminal.complain(`${result.errors.join('\n')}\nthe policy that was in force stays in force\n`);
    return result.ok ? 0 : 1;
  },
};

function describe(status: StatusJson, now: number, paint: Paint): string {
  const controllers = Object.entries(status.controllers).map(([name, count]) => `${name} ${count}`);
  const alien = status.uncommanded > 0 ? `, ${status.uncommanded} under the in-kernel path manager` : '';
  const policy = status.policy.error
    ? `${status.policy.file}: ${paint('red', 'the file on disk is refused')}\n  ${status.policy.error}`
    : `${status.policy.file} (in force for ${ago(status.policy.loaded, now)})`;
  return fields(
    [
      [
        'smappd',
        `${status.version}, pid ${status.pid}, running for ${ago(status.since, now)}, Linux ${status.kernel}`,
      ],
      ['policy', policy],
      ['connections', `${status.connections} with ${plural(status.subflows, 'subflow')}${alien}`],
      ['controllers', controllers.join(', ') || '-'],
      ['events', `${status.events}, state read again ${plural(status.resyncs, 'time')}`],
      ['commands', `${status.commands.done} done, ${status.commands.failed} failed`],
      ['timeouts', status.timeouts],
      ...status.problems.map((text): [string, string] => ['without effect', paint('yellow', text)]),
      ...status.locals.map(({ ip, ifname, role, metered }, index): [string, string] => [
        index === 0 ? 'addresses' : '',
        `${ip} on ${ifname}, ${role}${metered ? ', metered' : ''}`,
      ]),
    ],
    paint,
  );
}
