/**
 * Control groups: from the number that sockets carry to a path, and from a path to systemd units.
 *
 * The number of a cgroup2 directory is its inode number (fs/kernfs, `kernfs_ino`), and is never used again.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Where the hierarchies are, from the text of /proc/mounts; undefined where there is none. */
export interface CgroupMounts {
  /** cgroup2, alone or beside v1 ("hybrid"). */
  readonly unified: string | undefined;
  /** Whether systemd keeps its units in a v1 hierarchy of its own. */
  readonly systemdV1: boolean;
}

export function cgroupMounts(mounts: string): CgroupMounts {
  const lines = mounts.split('\n').map((line) => line.split(' '));
  const unified = lines.find(([, , type]) => type === 'cgroup2')?.[1];
  const systemdV1 = lines.some(
    ([, , type, options]) => type === 'cgroup' && /\bname=systemd\b/.test(options ?? ''),
  );
  const unescaped = unified?.replace(/\\([0-7]{3})/g, (_, octal) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
  return { unified: unescaped, systemdV1 };
}

const MOST_KEPT = 100_000;

export class Cgroups {
  readonly #mount: string | undefined;
  readonly #paths = new Map<number, string | undefined>();

  /** `mount` is where cgroup2 is. */
  constructor(mount: string | undefined) {
    this.#mount = mount;
  }

  /**
   * "/" for the root, "/system.slice/ssh.service", ...; undefined when it is gone or not visible from here.
   * A number that is new costs one walk over all directories; what was found stays known after the group is gone.
   */
  pathOf(id: number): string | undefined {
    if (!this.#paths.has(id)) {
      if (this.#paths.size > MOST_KEPT) this.#paths.clear();
      this.#walk('/');
      if (!this.#paths.has(id)) this.#paths.set(id, undefined);
    }
    return this.#paths.get(id);
  }

  /** The processes in a group, without those in groups below it. */
  processesIn(path: string): number[] {
    if (this.#mount === undefined) return [];
    try {
      return readFileSync(join(this.#mount, path, 'cgroup.procs'), 'utf8')
        .split('\n')
        .filter(Boolean)
        .map(Number);
    } catch {
      return []; // The group has gone, or is a threaded one.
    }
  }

  #walk(path: string): void {
    if (this.#mount === undefined) return;
    try {
      const folder = join(this.#mount, path);
      this.#paths.set(statSync(folder).ino, path);
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        if (entry.isDirectory()) this.#walk(join(path, entry.name));
      }
    } catch {
      // It went while we looked.
    }
  }
}

/** The systemd units in a path, the innermost first. systemd puts "_" before names that would clash with a file's. */
export function unitsOf(path: string): string[] {
  return path
    .split('/')
    .filter((name) => /\.(service|scope|slice|socket|mount|swap)$/.test(name))
    .map((name) => name.replace(/^_/, ''))
    .reverse();
}
