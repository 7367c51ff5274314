/** `smappctl doctor`: what is wrong with this host, and what to do about it; with the daemon or without it. */
import type { CommandLine } from './command.ts';
import { painter, plural } from './format.ts';

const MARKS = { ok: ['ok', 'green'], note: ['note', 'yellow'], problem: ['PROBLEM', 'red'] } as const;

export const doctor: CommandLine = {
  name: 'doctor',
  args: '',
  summary: 'what is wrong with this host, and what to do about it',
  help: [
    'Looks at the kernel, the daemon, its capabilities and policy, the route of each address, and whether MPTCP is',
    'really used. Works without the daemon too, then with /etc/smappd/policy.json or the built-in policy. Exit status 1',
    'when there is a problem; notes are worth knowing.',
  ].join('\n'),
  options: { policy: { type: 'string', value: 'FILE', doc: "this policy instead of the daemon's" } },
  async run(invocation) {
    const { terminal, options, json, connect } = invocation;
    const { home, uid, network } = terminal;
    const policy = options['policy'] as string | undefined;
    // Not needed for other commands, and policies take a tenth of a second to load.
    const { examine } = await import('../doctor/examine.ts');
    const findings = await examine({ policy, home, uid, network, connect });
    const problems = findings.filter(({ level }) => level === 'problem').length;
    if (json) terminal.write(`${JSON.stringify({ ok: problems === 0, findings })}\n`);
    else {
      const paint = painter(terminal.colours);
      for (const { level, message, remedy } of findings) {
        const [mark, style] = MARKS[level];
        terminal.write(`${paint(style, mark.padEnd(7))}  ${message}\n`);
        if (remedy !== undefined) terminal.write(`         ${paint('dim', '->')} ${remedy}\n`);
      }
      terminal.write(problems === 0 ? 'nothing is wrong\n' : `${plural(problems, 'problem')}\n`);
    }
    return problems === 0 ? 0 : 1;
  },
};
