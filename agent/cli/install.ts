/** `smappctl install` and `smappctl uninstall`: the daemon as a systemd service, and away again. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { CommandLine, Invocation } from './command.ts';
import { UsageError } from './command.ts';
import { put, sysusersPath, takeAway, unitPath } from './installation.ts';

const prefix = { type: 'string', value: 'DIR', doc: 'where programs go (/usr/local)' } as const;
const root = {
  type: 'string',
  value: 'DIR',
  doc: 'write below DIR, for packages and images; this system itself is left alone',
} as const;

export const install: CommandLine = {
  name: 'install',
  args: '',
  summary: 'put smappd into the system: programs, systemd unit, user, policy; start it',
  help: [
    'Copies this built checkout to PREFIX/lib/smappd, so that it may be deleted afterwards, makes the user and group',
    'smappd, writes /etc/smappd/policy.json unless it is there, and enables and starts the unit. Run again, it brings',
    'the installation up to date. smappctl uninstall takes everything away again.',
  ].join('\n'),
  options: {
    prefix,
    root,
    'no-start': { type: 'boolean', doc: 'do not enable and start the unit' },
  },
  async run(invocation) {
    const { terminal, options, json } = invocation;
    const to = place(invocation);
    if (/^\/(root|home)\//.test(terminal.node)) {
      throw new Error(
        `${terminal.node} is in a home directory, where the service may not go: install Debian's nodejs (20 or later), and run this with it`,
      );
    }
    const hadUser = hasUser();
    const written = put({ ...to, source: terminal.home, node: terminal.node }, to.root === '' && !hadUser);
    const steps: string[][] = [];
    if (to.root === '') {
      if (!hadUser) steps.push(['systemd-sysusers', sysusersPath(to.prefix)]);
      if (systemdRuns()) {
        steps.push(['systemctl', 'daemon-reload']);
        if (!options['no-start']) {
          steps.push(['systemctl', 'enable', 'smappd'], ['systemctl', 'restart', 'smappd']);
        }
      }
    }
    for (const [program = '', ...args] of steps) execFileSync(program, args, { stdio: 'inherit' });
    const started = steps.some(([, action]) => action === 'restart');
    if (json) terminal.write(`${JSON.stringify({ ...to, files: written.length, started })}\n`);
    else {
      terminal.write(`${written.length} files below ${join(to.root || '/', to.prefix)} and /etc/smappd\n`);
      terminal.write(
        started
          ? 'smappd runs; smappctl status shows it, journalctl -u smappd what it logs\n'
          : `the unit is ${unitPath(to.prefix)}; systemctl enable --now smappd starts it\n`,
      );
    }
    return 0;
  },
};

export const uninstall: CommandLine = {
  name: 'uninstall',
  args: '',
  summary: 'stop smappd and take away what install put',
  help: 'Files that were changed since, such as the policy, are kept and named, unless --purge is given.',
  options: { prefix, root, purge: { type: 'boolean', doc: 'also take away what was changed' } },
  async run(invocation) {
    const { terminal, options, json } = invocation;
    const to = place(invocation);
    const running = to.root === '' && systemdRuns();
    if (running && existsSync(unitPath(to.prefix))) {
      execFileSync('systemctl', ['disable', '--now', 'smappd'], { stdio: 'inherit' });
      // Would end by itself, but its program goes now.
      execFileSync('systemctl', ['stop', 'smappd-host'], { stdio: 'inherit' });
    }
    const { removed, kept, madeUser } = takeAway(to, options['purge'] === true);
    if (running) execFileSync('systemctl', ['daemon-reload'], { stdio: 'inherit' });
    if (to.root === '' && madeUser && hasUser()) execFileSync('userdel', ['smappd'], { stdio: 'inherit' });
    if (json) terminal.write(`${JSON.stringify({ ...to, removed: removed.length, kept })}\n`);
    else {
      terminal.write(`${removed.length} files removed\n`);
      for (const path of kept) terminal.write(`kept, because it was changed: ${path}\n`);
    }
    return 0;
  },
};

function place({ options, terminal }: Invocation): { prefix: string; root: string } {
  const to = { prefix: String(options['prefix'] ?? '/usr/local'), root: String(options['root'] ?? '') };
  for (const [name, path] of Object.entries(to)) {
    if (path !== '' && !isAbsolute(path)) throw new UsageError(`--${name} ${path}: give an absolute path`);
  }
  if (/\s/.test(to.prefix)) throw new UsageError('--prefix: blanks in it do not work in a unit');
  if (to.root === '' && terminal.uid !== 0) throw new Error('this writes system folders: run it as root');
  return to;
}

/** As sd_booted(3) has it. */
const systemdRuns = (): boolean => existsSync('/run/systemd/system');
const hasUser = (): boolean => /^smappd:/m.test(readFileSync('/etc/passwd', 'utf8'));
