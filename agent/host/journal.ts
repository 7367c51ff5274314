/**
 * What the daemon changed on the host and must put back, and what it must remember, in one file.
 *
 * A change is written down before it is made, so a crash at any moment leaves enough to undo it at the
 * next start. Source routes and rules are not in here: they carry a mark of ours in the kernel itself.
 * A journal of another boot or another network namespace says nothing about this one, and is dropped.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Notes } from '../log.ts';

interface Contents {
  boot: string;
  /** Inode of the network namespace. */
  namespace: number;
  /** Address -> MPTCP address id. */
  ids: Record<string, number>;
  /** Sysctl -> its value before us, and ours. */
  sysctls: Record<string, { was: string; ours: string }>;
}

export class Journal {
  readonly #file: string;
  readonly #log: Notes;
  readonly #contents: Contents;

  /** Reads what an earlier run left in `file`; its folder is made when missing. */
  constructor(file: string, log: Notes) {
    this.#file = file;
    this.#log = log;
    const here = { boot: bootId(), namespace: statSync('/proc/self/ns/net').ino };
    const found = read(file, log);
    const same = found?.boot === here.boot && found.namespace === here.namespace;
    this.#contents = same ? found : { ...here, ids: {}, sysctls: {} };
  }

  get ids(): Readonly<Record<string, number>> {
    return this.#contents.ids;
  }

  /** Where the file cannot be written the ids hold for this run only. */
  rememberIds(ids: Readonly<Record<string, number>>): void {
    if (JSON.stringify(ids) === JSON.stringify(this.#contents.ids)) return;
    this.#contents.ids = { ...ids };
    try {
      this.#save();
    } catch (error) {
      this.#log.warn({ err: error }, 'address ids cannot be remembered for the next start');
    }
  }

  /**
   * Makes these the sysctls that we have set: sets what is not so yet, and puts back what an earlier call or
   * run set and this one does not name. Throws when the journal or the sysctl cannot be written.
   */
  setSysctls(wanted: Readonly<Record<string, string | number>>): void {
    for (const [name, value] of Object.entries(wanted)) this.#set(name, String(value));
    for (const name of Object.keys(this.#contents.sysctls)) if (!(name in wanted)) this.#putBack(name);
  }

  #set(name: string, value: string): void {
    const current = readSysctl(name);
    if (current === value) return;
    const was = this.#contents.sysctls[name]?.was ?? current;
    this.#contents.sysctls[name] = { was, ours: value };
    this.#save();
    writeSysctl(name, value);
    this.#log.info({ sysctl: name, was, value }, 'sysctl set');
  }

  /** A value that is no longer ours was changed by someone else since, and stays. */
  #putBack(name: string): void {
    const { was, ours } = this.#contents.sysctls[name]!;
    const current = readSysctl(name);
    if (current === ours) writeSysctl(name, was);
    else this.#log.warn({ sysctl: name, was, ours, current }, 'sysctl was changed by someone else: left so');
    delete this.#contents.sysctls[name];
    this.#save();
  }

  #save(): void {
    mkdirSync(dirname(this.#file), { recursive: true });
    const fresh = `${this.#file}.new`;
    const fd = openSync(fresh, 'w', 0o600);
    try {
      writeSync(fd, `${JSON.stringify(this.#contents, undefined, 2)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(fresh, this.#file);
  }
}

function read(file: string, log: Notes): Contents | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { boot, namespace, ids, sysctls } = JSON.parse(text);
    if (typeof ids === 'object' && typeof sysctls === 'object') return { boot, namespace, ids, sysctls };
  } catch {
    // Reported below.
  }
  renameSync(file, `${file}.bad`);
  log.warn(
    { file: `${file}.bad` },
    'the journal of host changes is damaged: moved aside, nothing is put back',
  );
  return undefined;
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function sysctlPath(name: string): string {
  return `/proc/sys/${name.replaceAll('.', '/')}`;
}

function readSysctl(name: string): string {
  return readFileSync(sysctlPath(name), 'utf8').trim();
}

function writeSysctl(name: string, value: string): void {
  const fd = openSync(sysctlPath(name), 'w');
  try {
    writeSync(fd, value);
  } finally {
    closeSync(fd);
  }
}
