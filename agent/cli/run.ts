/** `smappctl run`: one command with MPTCP in place of TCP. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { prepareLaunch } from '../run-command.ts';
import type { CommandLine } from './command.ts';

export const run: CommandLine = {
  name: 'run',
  args: 'COMMAND [ARGUMENT...]',
  summary: 'run a command, its TCP connections made MPTCP',
  help: [
    'Puts a preload library (LD_PRELOAD) under programs that use the C library, and asks Go programs by GODEBUG, so',
    'that their TCP sockets, and those of all that they start, become MPTCP sockets. Servers without MPTCP are spoken',
    'to in TCP. Needs no daemon and no privileges. What it did goes to standard error; write -- before the command',
    'when it has options of its own. Where the kernel allows eBPF to do the same, "mptcp": true in the policy does',
    'it for an application without changing how that is started.',
    '',
    '    smappctl run -- curl --silent https://multipath-tcp.org/',
    '',
    "The exit status is the command's, 128 and the signal's number if that ended it.",
  ].join('\n'),
  options: {},
  run({ terminal, args }) {
    const preload = join(terminal.home, 'native/build/mptcp-preload.so');
    const launch = prepareLaunch(args as [string, ...string[]], terminal.env, preload);
    let child: ChildProcess | undefined;
    terminal.passSignals((signal) => child?.kill(signal));
    for (const note of launch.notes) terminal.complain(`smappctl: ${note}\n`);
    const { program, env } = launch;
    const started = spawn(program, launch.args, { env, stdio: 'inherit', argv0: args[0]! });
    child = started;
    return new Promise((done, failed) => {
      started.once('error', failed);
      started.once('exit', (status, signal) =>
        done(signal ? 128 + constants.signals[signal] : (status ?? 1)),
      );
    });
  },
};
