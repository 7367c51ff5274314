/** `smappctl converter kernel install|remove`: the converter's kernel module, kept for every kernel by DKMS. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandLine, Terminal } from './command.ts';

const MODULE = 'smapp_convert';
/** Has it loaded at boot, before smappd starts. */
const AT_BOOT = `/etc/modules-load.d/${MODULE}.conf`;

export const converterKernelInstall: CommandLine = {
  name: 'converter kernel install',
  args: '',
  summary: "build, install and load the converter's kernel module (DKMS)",
  help: [
    "Needs Debian's dkms and the headers of the running kernel (linux-headers-amd64). DKMS builds it again for each",
    'kernel that is installed later, and systemd loads it at boot. With "datapath": "auto" in the policy the converter',
    'then uses it.',
  ].join('\n'),
  options: {},
  async run({ terminal, json }) {
    const module = packageOf(terminal);
    takeAway(module); // of any version: what is built and loaded must be what comes now
    try {
      cpSync(module.source, sources(module.name, module.version), { recursive: true });
      run('dkms', 'install', '--force', `${module.name}/${module.version}`);
      run('modprobe', MODULE);
      writeFileSync(AT_BOOT, `${MODULE}\n`);
    } catch (error) {
      takeAway(module);
      throw new Error(
        `${(error as Error).message}; nothing is left behind. If headers are missing: apt-get install linux-headers-$(uname -r)`,
      );
    }
    const { version } = module;
    terminal.write(
      json
        ? `${JSON.stringify({ module: MODULE, version, loaded: true })}\n`
        : `${MODULE} ${version} is loaded; smappctl reload lets the converter use it\n`,
    );
    return 0;
  },
};

export const converterKernelRemove: CommandLine = {
  name: 'converter kernel remove',
  args: '',
  summary: "unload the converter's kernel module, and take it away from all kernels",
  help: 'Refused while the converter uses it: set "datapath": "user" in the policy and reload first.',
  options: {},
  async run({ terminal, json }) {
    const module = packageOf(terminal);
    const { version } = module;
    takeAway(module);
    terminal.write(
      json ? `${JSON.stringify({ module: MODULE, version, loaded: false })}\n` : `${MODULE} is gone\n`,
    );
    return 0;
  },
};

interface Package {
  readonly name: string;
  readonly version: string;
  readonly source: string;
}

/** Where DKMS looks for them. */
const sources = (name: string, version: string): string => `/usr/src/${name}-${version}`;

function takeAway({ name, version: ours }: Package): void {
  if (existsSync(`/sys/module/${MODULE}`)) unload();
  rmSync(AT_BOOT, { force: true });
  const known = knownVersions(name);
  for (const version of new Set([ours, ...known])) {
    if (known.includes(version)) run('dkms', 'remove', `${name}/${version}`, '--all');
    rmSync(sources(name, version), { recursive: true, force: true });
  }
}

/** To DKMS. */
function knownVersions(name: string): string[] {
  const folder = `/var/lib/dkms/${name}`;
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function unload(): void {
  try {
    run('rmmod', MODULE);
  } catch {
    throw new Error(
      `${MODULE} is in use: set "datapath": "user" in the policy's converter, run smappctl reload, and when its ` +
        'connections have ended (smappctl converter status) run this again',
    );
  }
}

/** What it prints goes to standard error: ours is for the result. */
function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 2, 2] });
}

function packageOf({ home, uid }: Terminal): Package {
  if (uid !== 0) throw new Error('kernel modules are for root: run this with sudo');
  if (!existsSync('/usr/sbin/dkms'))
    throw new Error('dkms is missing: apt-get install dkms linux-headers-amd64');
  const source = join(home, 'native/kmod');
  const text = readFileSync(join(source, 'dkms.conf'), 'utf8');
  const field = (key: string): string => new RegExp(`^${key}="(.*)"$`, 'm').exec(text)?.[1] ?? '';
  const [name, version] = [field('PACKAGE_NAME'), field('PACKAGE_VERSION')];
  return { name, version, source };
}
