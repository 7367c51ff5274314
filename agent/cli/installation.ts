/**
 * Puts a built checkout into the system, and takes away exactly what was put. All that was written is listed
 * with its hash in PREFIX/lib/smappd/installed.json; what was changed since is kept at removal, and named.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';

export interface Target {
  /** The checkout, or the installation that this program belongs to. */
  readonly source: string;
  /** Where the programs go: /usr/local. */
  readonly prefix: string;
  /** Put before every path that is written; empty for this system itself. */
  readonly root: string;
  /** The Node that shall run it. */
  readonly node: string;
}

interface Item {
  /** Absolute, without `root`. */
  readonly path: string;
  readonly content: { readonly text: string } | { readonly file: string };
  readonly mode: number;
  /** Belongs to the administrator once it is there. */
  readonly config?: true;
}

interface Manifest {
  /** Path -> SHA-256 of what was written. */
  readonly files: Readonly<Record<string, string>>;
  /** Folders that were not there before. */
  readonly folders: readonly string[];
  readonly madeUser: boolean;
}

export interface Removal {
  readonly removed: readonly string[];
  /** Changed since they were installed, or not to be read. */
  readonly kept: readonly string[];
  readonly madeUser: boolean;
}

export const unitPath = (prefix: string, name = 'smappd.service'): string =>
  join(prefix, 'lib/systemd/system', name);
export const sysusersPath = (prefix: string): string => join(prefix, 'lib/sysusers.d/smappd.conf');
const manifestPath = ({ root, prefix }: Pick<Target, 'root' | 'prefix'>): string =>
  join(root, prefix, 'lib/smappd/installed.json');

/** Writes everything, over an earlier installation if there is one. Returns the paths. Throws with a remedy. */
export function put(target: Target, madeUser: boolean): string[] {
  const items = plan(target);
  const before = readManifest(target);
  const folders = new Set(before?.folders);
  const files: Record<string, string> = {};
  const written: string[] = [];
  for (const { path, content, mode, config } of items) {
    const to = join(target.root, path);
    const bytes = 'text' in content ? Buffer.from(content.text) : readFileSync(content.file);
    const hash = sha256(bytes);
    if (config && existsSync(to)) {
      // What the administrator has written is theirs; what we wrote is followed until they touch it.
      const theirs = before?.files[path] !== sha256(readFileSync(to));
      if (theirs) {
        if (before?.files[path] !== undefined) files[path] = before.files[path];
        continue;
      }
    }
    for (const folder of missingFolders(dirname(to))) {
      mkdirSync(folder);
      chmodSync(folder, 0o755); // whatever root's umask is: the service is not root
      folders.add(`/${relative(target.root || '/', folder)}`);
    }
    rmSync(to, { force: true }); // a running program keeps the file that it has open
    if ('text' in content) writeFileSync(to, bytes);
    else copyFileSync(content.file, to);
    chmodSync(to, mode);
    files[path] = hash;
    written.push(path);
  }
  for (const [path, hash] of Object.entries(before?.files ?? {})) {
    if (!(path in files)) removeIfOurs(join(target.root, path), hash);
  }
  const manifest: Manifest = {
    files,
    folders: [...folders],
    madeUser: madeUser || (before?.madeUser ?? false),
  };
  writeFileSync(manifestPath(target), `${JSON.stringify(manifest, undefined, 1)}\n`);
  chmodSync(manifestPath(target), 0o644);
  return written;
}

/** Takes away what `put` wrote. `purge` also takes files that were changed since. */
export function takeAway(target: Pick<Target, 'root' | 'prefix'>, purge: boolean): Removal {
  const manifest = readManifest(target);
  if (!manifest) {
    throw new Error(
      `${manifestPath(target)} is missing: nothing was installed under ${target.prefix} (another --prefix?)`,
    );
  }
  const removed: string[] = [];
  const kept: string[] = [];
  for (const [path, hash] of Object.entries(manifest.files)) {
    const full = join(target.root, path);
    if (purge) rmSync(full, { force: true });
    else if (!removeIfOurs(full, hash)) {
      kept.push(path);
      continue;
    }
    removed.push(path);
  }
  rmSync(manifestPath(target));
  // The deepest first; one that holds something of others stays.
  for (const folder of [...manifest.folders].sort((a, b) => b.length - a.length)) {
    const full = join(target.root, folder);
    if (existsSync(full) && readdirSync(full).length === 0) rmdirSync(full);
  }
  return { removed, kept, madeUser: manifest.madeUser };
}

function plan({ source, prefix, node }: Target): Item[] {
  const home = join(prefix, 'lib/smappd');
  const tree = (folder: string): Item[] =>
    filesUnder(join(source, folder)).map((file) => ({
      path: join(home, relative(source, file)),
      content: { file },
      mode: statSync(file).mode & 0o111 ? 0o755 : 0o644,
    }));
  const one = (name: string): Item => ({
    path: join(home, name),
    content: { file: join(source, name) },
    mode: 0o644,
  });
  const wrapper = (name: string, script: string): Item => ({
    path: join(prefix, 'bin', name),
    content: { text: `#!/bin/sh\nexec ${node} ${join(home, script)} "$@"\n` },
    mode: 0o755,
  });
  if (!existsSync(join(source, 'dist/agent/main.js')) || !existsSync(join(source, 'native/build'))) {
    throw new Error(`${source} is not built: run npm ci in it first`);
  }
  const unit = (name: string): Item => ({
    path: unitPath(prefix, name),
    content: { text: readFileSync(join(source, 'systemd', name), 'utf8').replaceAll('@PREFIX@', prefix) },
    mode: 0o644,
  });
  const config = { mode: 0o644, config: true } as const;
  return [
    ...['dist/agent', 'dist/controllers', 'native/build', 'systemd'].flatMap(tree),
    ...['docs', 'policies', 'native/kmod'].flatMap((folder) =>
      existsSync(join(source, folder)) ? tree(folder) : [],
    ),
    ...productionPackages(source).flatMap(tree),
    ...['package.json', 'package-lock.json', 'LICENSE'].map(one),
    wrapper('smappd', 'dist/agent/main.js'),
    wrapper('smappctl', 'dist/agent/cli.js'),
    unit('smappd.service'),
    unit('smappd-host.service'),
    { path: sysusersPath(prefix), content: { file: join(source, 'systemd/smappd.sysusers') }, mode: 0o644 },
    { path: '/etc/smappd/policy.json', content: { file: join(source, 'policies/default.json') }, ...config },
    {
      path: '/etc/smappd/policy.schema.json',
      content: { file: join(source, 'policies/policy.schema.json') },
      mode: 0o644,
    },
  ];
}

/** Folders of node_modules that run in production, as the lock file says. */
function productionPackages(source: string): string[] {
  const lock = JSON.parse(readFileSync(join(source, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  return Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && !dev && !path.includes('/@types/'))
    .filter(([path]) => existsSync(join(source, path)))
    .map(([path]) => path);
}

/** What packages bring along that does not run. */
const IDLE_FOLDERS = new Set([
  'node_modules',
  'test',
  'tests',
  'benchmark',
  'benchmarks',
  'bench',
  'docs',
  'examples',
]);
const IDLE_FILES = /\.(map|ts|cts|mts)$/;

/** Of a package only what runs, and its licence; of other folders all but source maps. */
function filesUnder(folder: string, inPackage = folder.includes('/node_modules/')): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => a.name.localeCompare(b.name))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory())
        return inPackage && IDLE_FOLDERS.has(entry.name) ? [] : filesUnder(path, inPackage);
      const idle = inPackage ? IDLE_FILES.test(entry.name) : entry.name.endsWith('.map');
      return entry.isFile() && !idle ? [path] : [];
    });
}

function missingFolders(folder: string): string[] {
  if (existsSync(folder)) return [];
  return [...missingFolders(dirname(folder)), folder];
}

/** False when the file is not as we wrote it. A file that is gone is as good as removed. */
function removeIfOurs(path: string, hash: string): boolean {
  if (!existsSync(path)) return true;
  if (sha256(readFileSync(path)) !== hash) return false;
  rmSync(path);
  return true;
}

function readManifest(target: Pick<Target, 'root' | 'prefix'>): Manifest | undefined {
  const path = manifestPath(target);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Manifest) : undefined;
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
