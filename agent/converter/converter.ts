/**
 * The converter as smappd runs it: rules and routes on the host, the data path, and the HTTP proxy, all as
 * the policy says. What an earlier run left behind is replaced or taken away at start. Connections survive
 * a reload: the new data path takes the listeners, the old one drains.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Notes } from '../log.ts';
import { dataPathArguments } from './arguments.ts';
import { squid, squidConfiguration } from './http-proxy.ts';
import { Keeper, type Program } from './keeper.ts';
import { kernelDatapath, kernelListens, useKernel } from './kernel.ts';
import type { Machine } from './machine.ts';
import {
  networkClearCommand,
  networkCommands,
  nftClear,
  nftRules,
  routeClearCommands,
  routeCommands,
} from './rules.ts';
import { type ConverterPolicy, converterWanted } from './section.ts';

export interface ConverterPorts {
  readonly machine: Machine;
  readonly clock: Clock;
  readonly log: Notes;
  /** The data path: native/build/smapp-convert. */
  readonly program: string;
  /** A folder of ours for sockets and generated files, such as /run/smappd; made when missing. */
  readonly folder: string;
}

export class Converter {
  readonly #ports: ConverterPorts;
  readonly #dataPath: Keeper;
  readonly #proxy: Keeper;
  /** The policy in force, as text. */
  #applied = '';
  /** The configuration that Squid runs with. */
  #squid = '';
  /** Changes come one after the other: two at once would end each other's programs. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(ports: ConverterPorts) {
    this.#ports = ports;
    this.#dataPath = new Keeper(ports.clock, ports.log);
    this.#proxy = new Keeper(ports.clock, ports.log);
  }

  /** The data path's control socket: for status.ts. */
  get control(): string {
    return join(this.#ports.folder, 'converter.sock');
  }

  /** Process id of the data path; undefined while it does not run. */
  get pid(): number | undefined {
    return this.#dataPath.pid;
  }

  /** Rejects with a message for the user when it cannot run as the policy says; then nothing is left on the host. */
  start(policy: ConverterPolicy): Promise<void> {
    return this.#inTurn(async () => {
      if (!converterWanted(policy)) {
        if (existsSync(this.#marker)) await this.#clearHost();
        return;
      }
      try {
        await this.#apply(policy);
      } catch (error) {
        await this.#stop();
        throw error;
      }
    });
  }

  /** As `start`, with connections kept. When it rejects, the data path of before still runs. */
  reload(policy: ConverterPolicy): Promise<void> {
    return this.#inTurn(async () => {
      if (signature(policy) === this.#applied && this.pid !== undefined) return;
      if (converterWanted(policy)) await this.#apply(policy);
      else await this.#stop();
    });
  }

  /** Ends all connections, and takes everything off the host. */
  stop(): Promise<void> {
    return this.#inTurn(() => this.#stop());
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#last.then(change);
    this.#last = done.catch(() => {});
    return done;
  }

  async #stop(): Promise<void> {
    if (existsSync(this.#marker)) await this.#clearHost();
    await Promise.all([this.#dataPath.stop(), this.#proxy.stop()]);
    this.#applied = '';
    this.#squid = '';
  }

  /** Listeners first, rules last: a client is never sent to a door that is not there yet. */
  async #apply(policy: ConverterPolicy): Promise<void> {
    const { machine, folder } = this.#ports;
    const kernel = useKernel(policy);
    mkdirSync(folder, { recursive: true });
    await this.#applyProxy(policy);
    await this.#dataPath.start(this.#dataPathProgram(policy, kernel));
    writeFileSync(this.#marker, '');
    await this.#ip(networkClearCommand, NOTHING_THERE);
    for (const command of networkCommands(policy)) await this.#ip(command);
    if (policy.transparent.ports.length > 0 || policy.synOpen === 'hold') {
      await this.#routes(routeCommands, /File exists/);
      await machine.run('nft', ['-f', '-'], nftRules(policy, kernel && kernelListens(policy)));
    } else {
      await this.#clearRules();
    }
    this.#applied = signature(policy);
    this.#ports.log.info({ pid: this.pid, datapath: kernel ? 'kernel' : 'user' }, 'the converter runs');
  }

  #dataPathProgram(policy: ConverterPolicy, kernel: boolean): Program {
    const { machine, program, folder } = this.#ports;
    const cookieKey = join(folder, 'converter-cookie.key');
    if (policy.explicit.cookies) makeKey(cookieKey);
    const args = dataPathArguments(policy, { control: this.control, cookieKey }, kernel);
    return {
      name: 'smapp-convert',
      start: () => machine.start(program, args),
      ready: async (_child, lines) => {
        await lines.next(/^\{"ready":true\}$/);
      },
    };
  }

  /** Squid knows no graceful restart that keeps its connections: it is left alone while its configuration is the same. */
  async #applyProxy(policy: ConverterPolicy): Promise<void> {
    const configuration = policy.http.listen === undefined ? '' : squidConfiguration(policy);
    if (configuration === this.#squid && (configuration === '' || this.#proxy.pid !== undefined)) return;
    await this.#proxy.stop();
    this.#squid = '';
    if (configuration === '') return;
    const file = join(this.#ports.folder, 'converter-squid.conf');
    writeFileSync(file, configuration);
    await this.#proxy.start(squid(this.#ports.machine, file));
    this.#squid = configuration;
  }

  async #clearHost(): Promise<void> {
    await this.#clearRules();
    await this.#ip(networkClearCommand, NOTHING_THERE);
    rmSync(this.#marker, { force: true });
  }

  async #clearRules(): Promise<void> {
    await this.#ports.machine.run('nft', ['-f', '-'], nftClear()).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error; // without nft we have left no table either
    });
    await this.#routes(routeClearCommands, NOTHING_THERE);
  }

  /** There while rules or routes of ours may be on the host, also after a crash. */
  get #marker(): string {
    return join(this.#ports.folder, 'converter-rules');
  }

  async #routes(commands: readonly string[], expected: RegExp): Promise<void> {
    for (const command of commands) {
      for (const family of ['-4', '-6']) await this.#ip(`${family} ${command}`, expected);
    }
  }

  /** Errors that match `expected` are none. */
  async #ip(command: string, expected?: RegExp): Promise<void> {
    await this.#ports.machine.run('ip', command.split(' ')).catch((error: Error) => {
      if (!expected?.test(error.message)) throw error;
    });
  }
}

/** How `ip` says that there was nothing of ours to take away. */
const NOTHING_THERE = /No such file|FIB table does not exist/;

/** What a reload compares: the kernel module may have come or gone meanwhile. */
function signature(policy: ConverterPolicy): string {
  return JSON.stringify([policy, policy.datapath !== 'user' && kernelDatapath()]);
}

/** Cookies outlive a reload, so the key must. */
function makeKey(file: string): void {
  if (statSync(file, { throwIfNoEntry: false })?.size !== 16) {
    writeFileSync(file, randomBytes(16), { mode: 0o600 });
  }
}
