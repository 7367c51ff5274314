/**
 * Upstream's MPTCP self-tests, out of Debian's `linux-source-6.12`: unpacked once under .cache/interop, a copy a
 * run, never part of this project. `pm_nl_ctl` in it is ours.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unpack } from '../vm/packages.ts';

const PACKAGE = 'linux-source-6.12';
const TESTS = 'tools/testing/selftests/net';
const WANTED = [
  'lib.sh',
  'net_helper.sh',
  'mptcp/userspace_pm.sh',
  'mptcp/mptcp_lib.sh',
  'mptcp/mptcp_connect.c',
];
const CACHE = fileURLToPath(new URL('../../../.cache/interop', import.meta.url));
const CLIENT = fileURLToPath(new URL('pm-nl-ctl.js', import.meta.url));

/** 6.18 leaves `server_side` out when it is false, where this script expects a 0. The one thing that is changed. */
const READING = ['client_serverside}" = 0', 'client_serverside:-0}" = 0'] as const;

/** A directory to run the scripts in; the caller removes it. */
export function makeSelftests(): string {
  const work = mkdtempSync(join(tmpdir(), 'smappd-interop-'));
  cpSync(sources(), work, { recursive: true });
  const directory = join(work, 'mptcp');
  const script = join(directory, 'userspace_pm.sh');
  const [as, instead] = READING;
  const text = readFileSync(script, 'utf8');
  if (!text.includes(as))
    throw new Error(`${PACKAGE}: userspace_pm.sh no longer reads server_side as expected`);
  writeFileSync(script, text.replace(as, instead));
  execFileSync('cc', ['-O2', '-o', join(directory, 'mptcp_connect'), join(directory, 'mptcp_connect.c')]);
  const client = join(directory, 'pm_nl_ctl');
  writeFileSync(client, `#!/bin/sh\nexec '${process.execPath}' '${CLIENT}' "$@"\n`);
  chmodSync(client, 0o755);
  return work;
}

/** The few files, unpacked; downloads 150 MB the first time. */
function sources(): string {
  const ready = join(CACHE, PACKAGE);
  if (existsSync(ready)) return ready;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, 'unpacking-'));
  try {
    unpack([PACKAGE], join(work, 'root'), (message) => process.stderr.write(`interop: ${message}\n`));
    const archive = join(work, 'root/usr/src', `${PACKAGE}.tar.xz`);
    const members = WANTED.map((file) => `${PACKAGE}/${TESTS}/${file}`);
    execFileSync('tar', ['--extract', '--xz', '--file', archive, '--directory', work, ...members]);
    renameSync(join(work, PACKAGE, TESTS), ready);
  } catch (error) {
    // Another run has won, or there is no such package.
    if (!existsSync(ready)) throw error;
  } finally {
    rmSync(work, { recursive: true });
  }
  return ready;
}
