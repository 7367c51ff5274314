/**
 * The running policy and its file. A change of the file, SIGHUP and `smappctl reload` all end in
 * `reload`: a good file comes into force, a bad one leaves what is in force as it is.
 */
import { type FSWatcher, realpathSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Millis } from '../model.ts';
import { type Policy, PolicyError, type PolicyReader, parsePolicy, readPolicy } from '../policy.ts';

interface Ports {
  readonly reader: PolicyReader;
  readonly clock: Clock;
  readonly log: Pick<Log, 'info' | 'error'>;
}

/** Editors write in several steps. */
const SETTLE: Millis = 100;

export class PolicyFile {
  readonly #file: string;
  readonly #ports: Ports;
  readonly #apply: (policy: Policy) => void;
  readonly #watchers = new Map<string, FSWatcher>();
  #cancelSettling: (() => void) | undefined;
  #last: Promise<unknown> = Promise.resolve();
  /** The text that was last read, good or bad. */
  #text: string | undefined;
  #error: PolicyError | undefined;

  /** `apply` brings a policy into force. It must not fail. */
  constructor(file: string, ports: Ports, apply: (policy: Policy) => void) {
    this.#file = file;
    this.#ports = ports;
    this.#apply = apply;
  }

  /** What is wrong with the file, if the last attempt to reload it failed, whoever asked for it. */
  get error(): PolicyError | undefined {
    return this.#error;
  }

  /** Reads the file for the first time. @throws PolicyError */
  async load(): Promise<Policy> {
    this.#text = undefined;
    this.#text = readPolicy(this.#file);
    return parsePolicy(this.#text, this.#file, this.#ports.reader);
  }

  /** Reads the file again; one after the other. Returns what is wrong with it, undefined when it is in force now. */
  reload(cause: string): Promise<PolicyError | undefined> {
    const done = this.#last.then(async () => {
      try {
        const policy = await this.load();
        this.#error = undefined;
        this.#apply(policy);
        this.#ports.log.info({ file: this.#file, cause }, 'policy reloaded');
        return undefined;
      } catch (error) {
        if (!(error instanceof PolicyError)) throw error;
        this.#error = error;
        this.#ports.log.error(
          { file: this.#file, cause },
          `policy not reloaded, the old one stays: ${error.message}`,
        );
        return error;
      }
    });
    this.#last = done.catch(() => {});
    return done;
  }

  /** Reloads whenever the file's content changes, also when it is replaced by a rename or is a symbolic link. */
  watch(): void {
    const wanted = new Set([dirname(this.#file)]);
    try {
      wanted.add(dirname(realpathSync(this.#file)));
    } catch {
      // It is not there now; its folder tells when it is.
    }
    for (const [folder, watcher] of this.#watchers) {
      if (!wanted.has(folder)) {
        watcher.close();
        this.#watchers.delete(folder);
      }
    }
    for (const folder of wanted) if (!this.#watchers.has(folder)) this.#watch(folder);
  }

  close(): void {
    this.#cancelSettling?.();
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #watch(folder: string): void {
    const lost = (error: Error): void => {
      this.#watchers.delete(folder);
      this.#ports.log.error({ folder }, `policy changes go unnoticed, use smappctl reload: ${error.message}`);
    };
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#settle());
      watcher.on('error', lost);
      this.#watchers.set(folder, watcher);
    } catch (error) {
      lost(error as Error);
    }
  }

  #settle(): void {
    this.#cancelSettling?.();
    this.#cancelSettling = this.#ports.clock.after(SETTLE, () => {
      this.watch();
      if (this.#current() !== this.#text) void this.reload('the file changed');
    });
  }

  #current(): string | undefined {
    try {
      return readPolicy(this.#file);
    } catch {
      return undefined;
    }
  }
}
