/**
 * `"via": "HOST:PORT"` in an app's rule: its connections go through that converter, which learns the server from
 * DST_OPT in the SYN (native/bpf/dst-opt.bpf.c). The application knows nothing of it. IPv6 servers need a converter
 * that has a /64 to itself, since their addresses do not fit into the option: HOST's IPv6 address is that network's.
 * In the kernel only while an app asks for it. Names are looked up again every minute.
 */
import { lookup } from 'node:dns/promises';
import { join } from 'node:path';
import ipaddr from 'ipaddr.js';
import { type Bpf, type BpfObject, explainBpfError } from '../bpf/addon.ts';
import { attachToCgroupRoot } from '../bpf/cgroup.ts';
import { type SwitchedApp, undecidable } from '../bpf/mptcp-rules.ts';
import { keepRules, type Rules } from '../bpf/mptcp-switch.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Millis } from '../model.ts';

interface Ports {
  readonly bpf: Bpf | string;
  readonly clock: Clock;
  readonly log: Pick<Log, 'warn'>;
}

/** The part of the policy's AppRule that is looked at. */
export type ViaApp = Omit<SwitchedApp, 'mptcp'> & { readonly via: string | undefined };

/** Programs and control groups are known by inode numbers, which change when they are replaced. */
const REFRESH: Millis = 2000;
const LOOKUP_AGAIN: Millis = 60_000;

const PROGRAMS = ['connect4', 'connect6', 'peer4', 'peer6', 'create', 'sockops'].map(
  (name) => `dst_opt_${name}`,
);

export class Via {
  readonly #ports: Ports;
  #object: BpfObject | undefined;
  #rules: Rules | undefined;
  #decided: readonly ViaApp[] = [];
  #undecided: readonly string[] = [];
  /** By the app's name. */
  readonly #unreachable = new Map<string, string>();
  #cancels: readonly (() => void)[] = [];

  constructor(ports: Ports) {
    this.#ports = ports;
  }

  /** What of the policy in force has no effect, a sentence each: those apps connect directly. */
  get problems(): readonly string[] {
    return [...this.#undecided, ...this.#unreachable.values()];
  }

  /** Takes these apps in place of those before. What cannot be done is logged too. */
  async configure(apps: readonly ViaApp[]): Promise<void> {
    for (const cancel of this.#cancels) cancel();
    this.#cancels = [];
    this.#unreachable.clear();
    this.#undecided = [];
    if (!apps.some(({ via }) => via !== undefined)) return this.close();
    try {
      this.#open();
    } catch (error) {
      const why = typeof this.#ports.bpf === 'string' ? this.#ports.bpf : explainBpfError(error as Error);
      this.close();
      this.#complain([`"via" has no effect here: ${why}`]);
      return;
    }
    const marked = apps.map((app) => ({ ...app, mptcp: app.via !== undefined }));
    // No rule holds before its converter is known.
    this.#rules!.configure([]);
    const decided = marked.filter((app) => undecidable(app) === undefined).slice(0, 64);
    this.#decided = decided;
    this.#complain(
      marked
        .filter((app) => app.mptcp && !decided.includes(app))
        .map((app) => {
          const why = undecidable(app) ?? 'there are too many apps before it';
          return `"via" of app "${app.name}" cannot be decided when it connects: ${why}`;
        }),
    );
    await this.#lookup();
    if (this.#decided !== decided) return; // reloaded, or closed, meanwhile
    this.#rules!.configure(marked);
    this.#cancels = [
      this.#every(REFRESH, () => this.#rules?.refresh()),
      this.#every(LOOKUP_AGAIN, () => void this.#lookup()),
    ];
  }

  close(): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels = [];
    this.#object?.close();
    this.#object = undefined;
    this.#rules = undefined;
    this.#decided = [];
  }

  #complain(problems: readonly string[]): void {
    this.#undecided = problems;
    for (const problem of problems) this.#ports.log.warn({}, problem);
  }

  #open(): void {
    const { bpf } = this.#ports;
    if (this.#object) return;
    if (typeof bpf === 'string') throw new Error(bpf);
    const settings = Buffer.alloc(8);
    settings.writeBigUInt64LE(bpf.addon.netnsCookie());
    this.#object = bpf.addon.load(join(bpf.directory, 'dst-opt.bpf.o'), PROGRAMS, settings);
    this.#rules = keepRules(this.#object);
    attachToCgroupRoot(bpf, this.#object, PROGRAMS);
  }

  /** Tells the kernel the converters' addresses; one that is not known has its apps connect directly. */
  async #lookup(): Promise<void> {
    const decided = this.#decided;
    await Promise.all(
      decided.map(async ({ name, via }, number) => {
        const converter = via === undefined ? undefined : await this.#converterOf(name, via);
        if (this.#decided !== decided) return;
        const key = Buffer.alloc(8);
        key.writeBigUInt64LE(1n << BigInt(number));
        if (converter) this.#object?.update('converters', key, converter);
        else this.#object?.remove('converters', key);
      }),
    );
  }

  /** struct dst_opt_converter. */
  async #converterOf(app: string, via: string): Promise<Buffer | undefined> {
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(via)!;
    try {
      const found = (await lookup(host!, { all: true })).map(({ address }) =>
        ipaddr.parse(address).toByteArray(),
      );
      const ip4 = found.find((bytes) => bytes.length === 4);
      const network = found.find(
        (bytes) => bytes.length === 16 && bytes.slice(8).every((byte) => byte === 0),
      );
      if (!ip4 && !network)
        throw new Error('it has no IPv4 address, and no IPv6 address that ends in 64 zero bits');
      const packed = Buffer.alloc(16);
      packed.set(ip4 ?? [], 0);
      packed.set(network?.slice(0, 8) ?? [], 4);
      packed.writeUInt16BE(Number(port), 12);
      this.#unreachable.delete(app);
      return packed;
    } catch (error) {
      const text = `the converter ${via} of app "${app}" cannot be used: ${(error as Error).message}; it connects directly`;
      if (this.#unreachable.get(app) !== text) this.#ports.log.warn({}, text);
      this.#unreachable.set(app, text);
      return undefined;
    }
  }

  #every(period: Millis, run: () => void): () => void {
    let cancel = () => {};
    const again = (): void => {
      cancel = this.#ports.clock.after(period, () => {
        run();
        again();
      });
    };
    again();
    return () => cancel();
  }
}
