/** Starts application.c under names, users and control groups of a test's choice. Built with `cc` when made. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cgroupMounts } from '../../agent/apps/cgroups.ts';
import type { Namespace } from './namespaces.ts';

export interface Who {
  /** Name of the program, one that was given to the constructor. */
  readonly program: string;
  /** The test's own, when left out. */
  readonly uid?: number;
  /** A control group right below the root; left out, the test's own. */
  readonly group?: string;
}

export class Applications {
  /** Where the programs are, and room for what else the test needs. */
  readonly folder = mkdtempSync(join(tmpdir(), 'smappd-test-'));
  readonly #unified: string;
  readonly #groups = new Set<string>();

  constructor(...programs: readonly string[]) {
    const { unified } = cgroupMounts(readFileSync('/proc/mounts', 'utf8'));
    assert(unified, 'this test needs a cgroup2 mount: mount -t cgroup2 none /sys/fs/cgroup');
    this.#unified = unified;
    // The tests run compiled, from dist/test/netns: C sources stay where they are.
    const source = new URL('../../../test/netns/application.c', import.meta.url).pathname;
    const built = join(this.folder, 'application');
    execFileSync('cc', ['-O1', '-Wall', '-o', built, source], { stdio: ['ignore', 'inherit', 'inherit'] });
    for (const program of programs) copyFileSync(built, this.path(program));
    chmodSync(this.folder, 0o755);
  }

  path(program: string): string {
    return join(this.folder, program);
  }

  /** Returns when it listens or is connected; it ends with its namespace. */
  async start(where: Namespace, { program, uid = 0, group }: Who, ...args: string[]): Promise<void> {
    const script =
      '[ -z "$0" ] || echo $$ > "$0/cgroup.procs"; uid=$1; shift; exec setpriv --reuid "$uid" --clear-groups "$@"';
    const child = where.start(
      'sh',
      ['-ec', script, group ? this.#group(group) : '', String(uid), this.path(program), ...args],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    await firstLine(child);
  }

  /** To be called when the namespaces, and with them all processes, are gone. */
  remove(): void {
    for (const group of this.#groups) rmdirSync(group);
    rmSync(this.folder, { recursive: true });
  }

  #group(name: string): string {
    const path = join(this.#unified, name);
    if (!this.#groups.has(path)) mkdirSync(path);
    this.#groups.add(path);
    return path;
  }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout!.once('data', (data) => resolve(String(data)));
    child.once('exit', (code) => reject(new Error(`the application ended with ${code}`)));
  });
}
