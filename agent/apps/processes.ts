/**
 * Which process has a socket, by /proc: the only place that tells, and a dear one, so that everything
 * that was seen on the way is kept and checked before it is used.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const MOST_KEPT = 100_000;

export class Processes {
  readonly #proc: string;
  /** Socket inodes by process and file descriptor, as last seen. */
  readonly #sockets = new Map<number, Map<string, number>>();
  /** Where a socket was last seen. */
  readonly #places = new Map<number, { pid: number; fd: string }>();

  constructor(proc = '/proc') {
    this.#proc = proc;
  }

  /** The path of a process's program; undefined for kernel threads and processes that are gone or not ours to see. */
  exeOf(pid: number): string | undefined {
    return this.#readlink(`${pid}/exe`)?.replace(/ \(deleted\)$/, '');
  }

  /** The one program that all of these processes run, if it is one and all can be seen. */
  commonExe(pids: readonly number[]): string | undefined {
    const [first, ...others] = pids;
    const exe = first === undefined ? undefined : this.exeOf(first);
    return others.every((pid) => this.exeOf(pid) === exe) ? exe : undefined;
  }

  /** A process that has this socket open: where it was last seen, else among `likely`, else any. */
  ownerOf(inode: number, likely: readonly number[]): number | undefined {
    const place = this.#places.get(inode);
    if (place && this.#inodeAt(place.pid, place.fd) === inode) return place.pid;
    if (this.#places.size > MOST_KEPT) {
      this.#places.clear();
      this.#sockets.clear();
    }
    const has = (pid: number): boolean => this.#look(pid, inode);
    return likely.find(has) ?? this.#all().find((pid) => !likely.includes(pid) && has(pid));
  }

  /** Where systemd keeps a process in its v1 hierarchy. */
  systemdPathOf(pid: number): string | undefined {
    try {
      return /^\d+:name=systemd:(.*)$/m.exec(readFileSync(`${this.#proc}/${pid}/cgroup`, 'utf8'))?.[1];
    } catch {
      return undefined;
    }
  }

  /** File descriptors that were not seen before come first: the new connections of a process with thousands. */
  #look(pid: number, inode: number): boolean {
    const seen = this.#sockets.get(pid) ?? new Map<string, number>();
    const open = this.#list(`${pid}/fd`);
    if (open.length === 0) {
      this.#sockets.delete(pid);
      return false;
    }
    this.#sockets.set(pid, seen);
    const ordered = [...open.filter((fd) => !seen.has(fd)), ...open.filter((fd) => seen.has(fd))];
    for (const fd of ordered) {
      const found = this.#inodeAt(pid, fd);
      if (found === undefined) {
        seen.delete(fd);
        continue;
      }
      seen.set(fd, found);
      this.#places.set(found, { pid, fd });
      if (found === inode) return true;
    }
    return false;
  }

  #inodeAt(pid: number, fd: string): number | undefined {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(this.#readlink(`${pid}/fd/${fd}`) ?? '') ?? [];
    return inode === undefined ? undefined : Number(inode);
  }

  #all(): number[] {
    return this.#list('')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  }

  #list(path: string): string[] {
    try {
      return readdirSync(`${this.#proc}/${path}`);
    } catch {
      return []; // It has ended, or is not ours to see.
    }
  }

  #readlink(path: string): string | undefined {
    try {
      return readlinkSync(`${this.#proc}/${path}`);
    } catch {
      return undefined;
    }
  }
}
