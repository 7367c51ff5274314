/** From arguments to a command of the table, and from errors to a message that says what to do next. */
import { parseArgs } from 'node:util';
import { type ControlClient, ControlError, connectControl } from '../control/client.ts';
import { DEFAULT_PATH } from '../control/daemon.ts';
import { type CommandLine, type Option, type Terminal, UsageError } from './command.ts';
import { painter } from './format.ts';

const GLOBAL: Readonly<Record<string, Option>> = {
  control: { type: 'string', value: 'PATH', doc: `the daemon's control socket (${DEFAULT_PATH})` },
  json: { type: 'boolean', doc: 'one JSON object, or one a line where it streams' },
  help: { type: 'boolean', doc: 'this text; after a command, what it does' },
  version: { type: 'boolean', doc: "this program's version" },
};

/** Runs `argv` (without node and the script) and resolves to the exit status: 0, 1 failed, 2 wrong usage. */
export async function dispatch(
  argv: readonly string[],
  commands: readonly CommandLine[],
  version: string,
  terminal: Terminal,
): Promise<number> {
  let json = argv.slice(0, [...argv, '--'].indexOf('--')).includes('--json');
  const clients: ControlClient[] = [];
  try {
    const { command, values, args } = parse(argv, commands);
    json = values['json'] === true;
    if (values['version']) {
      terminal.write(`smappctl ${version}\n`);
      return 0;
    }
    if (values['help']) {
      terminal.write(command ? commandHelp(command, terminal) : help(commands, terminal));
      return 0;
    }
    if (!command)
      throw new UsageError(`no command; they are: ${commands.map(({ name }) => name).join(', ')}`);
    checkCount(command, args);
    const control = String(values['control'] ?? terminal.env['SMAPPD_CONTROL'] ?? DEFAULT_PATH);
    return await command.run({
      terminal,
      args,
      options: values,
      json,
      control,
      async connect() {
        const client = await connectControl(control);
        clients.push(client);
        return client;
      },
    });
  } catch (error) {
    const status = error instanceof UsageError ? 2 : 1;
    const { message } = error as Error;
    const remedy =
      error instanceof ControlError
        ? error.remedy
        : status === 2
          ? 'smappctl --help lists what there is'
          : '';
    if (json) {
      const data = error instanceof ControlError ? { code: error.code, ...error.data } : { remedy };
      terminal.write(`${JSON.stringify({ error: { message, ...data } })}\n`);
    } else {
      const paint = painter(terminal.colours);
      terminal.complain(`${paint('red', 'smappctl:')} ${message}\n${remedy ? `  ${remedy}\n` : ''}`);
    }
    return status;
  } finally {
    for (const client of clients) client.close();
  }
}

interface Parsed {
  readonly command: CommandLine | undefined;
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly args: readonly string[];
}

function parse(argv: readonly string[], commands: readonly CommandLine[]): Parsed {
  // Only the options of the command are allowed, so it must be found first; --control alone takes a value before it.
  let at = 0;
  while (at < argv.length && argv[at]!.startsWith('-')) at += argv[at] === '--control' ? 2 : 1;
  const before = argv.slice(0, at);
  let after = argv.slice(at);
  const helped = after[0] === 'help';
  if (helped) after = after.slice(1);
  const words = after.filter((word) => !word.startsWith('-'));
  const starts = (name: string): boolean => name.split(' ').every((word, index) => words[index] === word);
  const command = commands.find(({ name }) => starts(name));
  if (words[0] !== undefined && !command) {
    const group = commands.filter(({ name }) => name.startsWith(`${words[0]} `)).map(({ name }) => name);
    const known = group.length > 0 ? group : commands.map(({ name }) => name);
    throw new UsageError(`no command "${words.slice(0, 3).join(' ')}"; there is: ${known.join(', ')}`);
  }
  try {
    const { values, positionals } = parseArgs({
      args: [...before, ...after],
      options: { ...GLOBAL, ...command?.options },
      allowPositionals: true,
      strict: true,
    });
    const args = positionals.slice(command ? command.name.split(' ').length : 0);
    return { command, values: helped ? { ...values, help: true } : values, args };
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/\. To specify.*$/s, ''));
  }
}

function checkCount({ name, args: usage }: CommandLine, args: readonly string[]): void {
  const wanted = usage === '' ? [] : usage.split(/ (?![^[]*\])/);
  const least = wanted.filter((word) => !word.startsWith('[')).length;
  const most = usage.endsWith('...') || usage.endsWith('...]') ? Number.POSITIVE_INFINITY : wanted.length;
  if (args.length >= least && args.length <= most) return;
  throw new UsageError(`usage: smappctl ${name} ${usage}`.trimEnd());
}

function help(commands: readonly CommandLine[], terminal: Terminal): string {
  const paint = painter(terminal.colours);
  const usage = commands.map(({ name, args }) => `${name} ${args}`.trimEnd());
  const widest = Math.max(...usage.map((text) => text.length));
  const lines = commands.map(({ summary }, index) => `  ${usage[index]!.padEnd(widest)}  ${summary}`);
  return [
    'smappctl shows and steers the MPTCP connections that smappd manages.',
    '',
    `${paint('bold', 'Usage:')} smappctl [--control PATH] [--json] COMMAND`,
    '',
    paint('bold', 'Commands'),
    ...lines,
    '',
    paint('bold', 'Options'),
    ...optionLines(GLOBAL),
    '',
    'smappctl help COMMAND says more of one. Reading needs membership in the group smappd; changing needs root',
    'or a name in the policy\'s "admin" list. TOKEN may be decimal, 0x-hexadecimal, or the beginning of either.',
    '',
  ].join('\n');
}

function commandHelp(command: CommandLine, terminal: Terminal): string {
  const paint = painter(terminal.colours);
  const { name, args, summary, help: text, options } = command;
  const given = Object.keys(options).length > 0 ? ' [OPTIONS]' : '';
  return [
    `${name}: ${summary}`,
    '',
    `${paint('bold', 'Usage:')} smappctl ${`${name} ${args}`.trimEnd()}${given}`,
    '',
    text,
    ...(given ? ['', paint('bold', 'Options'), ...optionLines(options)] : []),
    '',
  ].join('\n');
}

function optionLines(options: Readonly<Record<string, Option>>): string[] {
  const names = Object.entries(options).map(([name, { value }]) => `--${name}${value ? ` ${value}` : ''}`);
  const widest = Math.max(...names.map((name) => name.length));
  return Object.values(options).map(({ doc }, index) => `  ${names[index]!.padEnd(widest)}  ${doc}`);
}
