/** `open`, `close`, `backup`, `announce`, `withdraw`: commands by hand, for root and the policy's admins. */
import type { Clock } from '../clock.ts';
import type { ControlClient } from '../control/client.ts';
import type { ExplanationJson } from '../control/daemon.ts';
import { type CommandLine, type Invocation, UsageError } from './command.ts';

const why = {
  type: 'string',
  value: 'TEXT',
  doc: 'the reason, as smappctl explain will show it',
} as const;

const SUBFLOW =
  'SUBFLOW is its key (LOCAL:PORT-REMOTE:PORT), the beginning of it, its local address or its interface.';

export const open: CommandLine = {
  name: 'open',
  args: 'TOKEN',
  summary: 'open a subflow',
  help: [
    'Without options it starts at the first local address that has no subflow yet, and goes to the first address of',
    "the peer that it can reach. Waits until the peer has answered, or the policy's openDeadline is over; exit status",
    '1 when no subflow came of it.',
    '',
    '  smappctl open 0x1a2b --from wwan0 --backup',
  ].join('\n'),
  options: {
    from: { type: 'string', value: 'ADDRESS|IF', doc: 'where it starts' },
    to: { type: 'string', value: 'ADDRESS[:PORT]', doc: 'where it goes' },
    backup: { type: 'boolean', doc: "as a backup (the default where the policy's role is backup)" },
    'local-port': {
      type: 'string',
      value: 'PORT',
      doc: 'the local port, instead of one that the kernel chooses',
    },
    'no-wait': { type: 'boolean', doc: 'do not wait for the answer' },
    why,
  },
  run(invocation) {
    const { from, to, backup, 'local-port': localPort } = invocation.options;
    return change(invocation, 'open', { from, to, backup, localPort: port(localPort) });
  },
};

export const close: CommandLine = {
  name: 'close',
  args: 'TOKEN SUBFLOW',
  summary: 'close a subflow; the connection goes on over the others',
  help: SUBFLOW,
  options: { why },
  run: (invocation) => change(invocation, 'close', { subflow: invocation.args[1] }),
};

export const backup: CommandLine = {
  name: 'backup',
  args: 'TOKEN SUBFLOW [on|off]',
  summary: 'make a subflow a backup, or a normal one again',
  help: `${SUBFLOW}\nThe peer is told (MP_PRIO) and sends accordingly.`,
  options: { why },
  run(invocation) {
    const [, subflow, state = 'on'] = invocation.args;
    if (state !== 'on' && state !== 'off') throw new UsageError(`"${state}" is neither on nor off`);
    return change(invocation, 'backup', { subflow, on: state === 'on' });
  },
};

export const announce: CommandLine = {
  name: 'announce',
  args: 'TOKEN ADDRESS|IF',
  summary: 'tell the peer of an address of this host',
  help: [
    'The peer may then open subflows to it (ADD_ADDR). With a port, something must listen there, or the peer is',
    'refused.',
  ].join('\n'),
  options: { port: { type: 'string', value: 'PORT', doc: 'another port than the connection has' }, why },
  run: (invocation) =>
    change(invocation, 'announce', { address: invocation.args[1], port: port(invocation.options['port']) }),
};

export const withdraw: CommandLine = {
  name: 'withdraw',
  args: 'TOKEN ADDRESS|IF',
  summary: 'take an announced address back',
  help: 'The peer closes the subflows that it has to this address (REMOVE_ADDR).',
  options: { why },
  run: (invocation) => change(invocation, 'withdraw', { address: invocation.args[1] }),
};

async function change(invocation: Invocation, method: string, params: object): Promise<number> {
  const { terminal, args, options, json, connect } = invocation;
  const client = await connect();
  const result = await client.call(method, { token: args[0], ...params, why: options['why'] });
  const { command } = result as { command: string };
  const wait = method === 'open' && !options['no-wait'];
  const outcome = wait ? await outcomeOf(client, args[0], command, terminal.clock) : 'done';
  const failed = outcome.startsWith('failed');
  if (json) terminal.write(`${JSON.stringify({ command, ...(wait && { outcome }) })}\n`);
  else if (failed) terminal.complain(`${command}: ${outcome}\n`);
  else terminal.write(`${command}\n`);
  return failed ? 1 : 0;
}

const GLANCE = 50;

/** What came of the last command of this text, when it is known. */
async function outcomeOf(
  client: ControlClient,
  token: string | undefined,
  command: string,
  clock: Clock,
): Promise<string> {
  for (;;) {
    const { decisions } = (await client.call('explain', { token })) as ExplanationJson;
    const { outcome = 'failed: forgotten' } = decisions.findLast((one) => one.command === command) ?? {};
    if (outcome !== 'waiting') return outcome;
    await new Promise<void>((done) => void clock.after(GLANCE, done));
  }
}

function port(text: string | boolean | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (Number.isInteger(number) && number > 0 && number < 65536) return number;
  throw new UsageError(`"${text}" is no port: give a number from 1 to 65535`);
}
