/**
 * Debian packages for use inside the guest, fetched by this machine's own apt and unpacked beside it: nothing
 * is installed on the host.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Says on stderr what takes long. */
export type Say = (message: string) => void;

/** The packages that `name` needs, in apt's words; undefined when apt does not offer `name`. */
export function dependencies(name: string): string[] | undefined {
  const shown = spawnSync('apt-cache', ['show', '--no-all-versions', name], { encoding: 'utf8' });
  if (shown.status !== 0) return undefined;
  const line = /^Depends: (.*)$/m.exec(shown.stdout)?.[1] ?? '';
  return line.split(/[,|]/).map((one) => one.trim().split(' ')[0]!);
}

/** Brings apt's lists up to date: a bare machine has none, and old ones name files that are gone. */
export function refreshLists(say: Say): void {
  say('apt-get update');
  apt(['update']);
}

/** Unpacks exactly these packages into `root`, which gets Debian's merged /usr. */
export function unpack(names: readonly string[], root: string, say: Say): void {
  fetch(names, root, say, (into) => apt(['download', ...names], into));
}

/** Unpacks these packages and all that they need and this machine has not installed. */
export function unpackWithDependencies(names: readonly string[], root: string, say: Say): void {
  fetch(names, root, say, (into) => {
    mkdirSync(join(into, 'partial'));
    const here = ['-o', `Dir::Cache::Archives=${into}`, '-o', 'Debug::NoLocking=1'];
    apt([...here, 'install', '--download-only', '--yes', '--no-install-recommends', ...names], into);
  });
}

function fetch(names: readonly string[], root: string, say: Say, download: (into: string) => void): void {
  const archives = `${root}.debs`;
  for (const part of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', part), { recursive: true });
    symlinkSync(`usr/${part}`, join(root, part));
  }
  say(`downloading ${names.join(' ')}`);
  try {
    mkdirSync(archives, { recursive: true });
    download(archives);
  } catch {
    refreshLists(say);
    rmSync(archives, { recursive: true });
    mkdirSync(archives);
    download(archives);
  }
  for (const deb of readdirSync(archives).filter((file) => file.endsWith('.deb'))) {
    const extract = 'dpkg-deb --fsys-tarfile "$1" | tar --extract --keep-directory-symlink --directory="$2"';
    execFileSync('bash', ['-o', 'pipefail', '-c', extract, 'unpack', join(archives, deb), root]);
  }
  rmSync(archives, { recursive: true });
}

function apt(args: readonly string[], cwd = '/'): void {
  const options = ['-qq', '-o', 'APT::Sandbox::User=root'];
  const run = spawnSync('apt-get', [...options, ...args], { cwd, encoding: 'utf8' });
  if (run.status !== 0)
    throw new Error(`apt-get ${args.join(' ')} failed: ${run.stderr || run.error?.message}`);
}
