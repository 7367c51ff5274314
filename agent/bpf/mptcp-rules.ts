/**
 * What the policy's apps say about the moment at which a socket is made: only the process is known then.
 * From apps to the sets of rules that native/bpf/mptcpify.bpf.c looks at.
 */
import { execFileSync } from 'node:child_process';
import { realpathSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

/** The part of the policy's AppRule that is looked at. */
export interface SwitchedApp {
  readonly name: string;
  readonly mptcp: boolean;
  readonly match: {
    readonly [key in (typeof PROCESS_KEYS)[number]]: readonly string[] | undefined;
  } & { readonly [key: string]: unknown };
}

const PROCESS_KEYS = ['unit', 'cgroup', 'user', 'exe'] as const;
/** A bit each in the kernel's sets. */
const MOST_RULES = 64;

/** For each thing that processes are known by, the set of rules that it fulfils, by its key in hexadecimal. */
export type RuleSets = Readonly<Record<'units' | 'cgroups' | 'users' | 'exes', Map<string, bigint>>>;

/** Why an app cannot be decided when a socket is made; undefined when it can. */
export function undecidable({ match }: SwitchedApp): string | undefined {
  for (const [key, wanted] of Object.entries(match)) {
    if (wanted === undefined) continue;
    if (!PROCESS_KEYS.some((known) => known === key)) return `\`${key}\` is known of connections only`;
    if ((wanted as readonly string[]).some((value) => value.includes('*')))
      return `\`${key}\` has a wildcard`;
  }
  return undefined;
}

/** The apps that are decided in the kernel, the policy's first one first. */
export function decidable<App extends SwitchedApp>(apps: readonly App[]): readonly App[] {
  return apps.filter((app) => undecidable(app) === undefined).slice(0, MOST_RULES);
}

/** struct mptcpify_rules. */
export function encodeRules(apps: readonly SwitchedApp[]): Buffer {
  const setOf = (has: (app: SwitchedApp) => boolean) =>
    apps.reduce((set, app, i) => (has(app) ? set | (1n << BigInt(i)) : set), 0n);
  const sets = [
    setOf(() => true),
    setOf((app) => app.mptcp),
    ...PROCESS_KEYS.map((key) => setOf(({ match }) => match[key] !== undefined)),
  ];
  const bytes = Buffer.alloc(8 * sets.length);
  for (const [i, set] of sets.entries()) bytes.writeBigUInt64LE(set, 8 * i);
  return bytes;
}

/** Where names are looked up. */
export interface Names {
  /** The mount point of cgroup v2. */
  readonly cgroupRoot: string;
  uidOf(user: string): number | undefined;
}

/** What stands behind the names now; those that are not there are left out. */
export function resolveRules(apps: readonly SwitchedApp[], { cgroupRoot, uidOf }: Names): RuleSets {
  const sets = { units: new Map(), cgroups: new Map(), users: new Map(), exes: new Map() };
  for (const [i, { match }] of apps.entries()) {
    const add = (set: Map<string, bigint>, keys: readonly (string | undefined)[]) => {
      for (const key of keys) if (key !== undefined) set.set(key, (set.get(key) ?? 0n) | (1n << BigInt(i)));
    };
    add(sets.units, (match.unit ?? []).map(unitKey));
    add(
      sets.cgroups,
      (match.cgroup ?? []).map((path) => inodeKey(join(cgroupRoot, path))),
    );
    add(
      sets.users,
      (match.user ?? []).map((user) => userKey(uidOf(user))),
    );
    add(sets.exes, (match.exe ?? []).map(exeKey));
  }
  return sets;
}

/** struct mptcpify_unit. */
function unitKey(name: string): string {
  return padded(name, 64).toString('hex');
}

function inodeKey(path: string): string | undefined {
  const inode = statSync(path, { throwIfNoEntry: false, bigint: true })?.ino;
  if (inode === undefined) return undefined;
  const key = Buffer.alloc(8);
  key.writeBigUInt64LE(inode);
  return key.toString('hex');
}

/** struct mptcpify_exe: the file behind links, as the kernel knows a running program. */
function exeKey(path: string): string | undefined {
  const inode = inodeKey(path);
  return inode && inode + padded(basename(realpathSync(path)), 56).toString('hex');
}

function userKey(uid: number | undefined): string | undefined {
  if (uid === undefined) return undefined;
  const key = Buffer.alloc(4);
  key.writeUInt32LE(uid);
  return key.toString('hex');
}

/** Of a name or a number; asks whatever the host has for users (LDAP, systemd), so keep the answer. */
export function uidOf(user: string): number | undefined {
  if (/^\d+$/.test(user)) return Number(user);
  try {
    return Number(execFileSync('id', ['-u', '--', user], { stdio: 'pipe' }));
  } catch {
    return undefined;
  }
}

/** Cut as the kernel's bpf_probe_read_kernel_str() does: the last byte is zero. */
function padded(text: string, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  Buffer.from(text).copy(bytes, 0, 0, size - 1);
  return bytes;
}
