/**
 * The host's paths in a process of their own, in a network namespace, as the daemon would run them: told
 * what to do and telling what happens by IPC. Ends putting everything back at `stop`; `kill` is a crash.
 */
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { machineClock } from '../../agent/clock.ts';
import { Journal } from '../../agent/host/journal.ts';
import { HostPaths } from '../../agent/host/paths.ts';
import { RtnetlinkHost } from '../../agent/host/rtnetlink.ts';
import type { Event } from '../../agent/model.ts';
import { loadAddon } from '../../agent/netlink/addon.ts';
import type { Namespace } from './namespaces.ts';

export interface Setup {
  readonly sourceRouting: boolean;
  /** Roles by interface; an interface that is not here is not named by the policy. */
  readonly roles: Readonly<Record<string, 'primary' | 'backup' | 'ignore'>>;
  readonly sysctls: Readonly<Record<string, string>>;
}

type Order = { readonly kind: 'configure'; readonly setup: Setup } | { readonly kind: 'stop' };

/** The test's end of it. */
export class HostProcess {
  /** Told so far: `local-up IP#ID%IFNAME ROLE`, and problems as `log TEXT`. */
  readonly lines: string[] = [];
  #child: ChildProcess;
  #waiting: (() => void)[] = [];

  constructor(namespace: Namespace, journal: string, setup: Setup) {
    const script = fileURLToPath(new URL('host-process.js', import.meta.url));
    this.#child = namespace.start(process.execPath, [script, journal, JSON.stringify(setup)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (line: string) => {
      this.lines.push(line);
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  /** Resolves when a line with this text has come since the last call that found one; fails after 20 s. */
  async until(text: string): Promise<string> {
    const deadline = Date.now() + 20_000;
    for (;;) {
      const at = this.lines.findIndex((line) => line.includes(text));
      if (at >= 0) return this.lines.splice(0, at + 1).at(-1)!;
      if (Date.now() > deadline)
        throw new Error(`no "${text}" in 20 s; there were: ${this.lines.slice(-20).join('; ')}`);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 100);
      });
    }
  }

  configure(setup: Setup): void {
    this.#send({ kind: 'configure', setup });
  }

  /** Stops the process for a while, as a busy machine does. */
  freeze(on: boolean): void {
    this.#child.kill(on ? 'SIGSTOP' : 'SIGCONT');
  }

  /** Orderly: resolves when all is put back and the process has ended. */
  stop(): Promise<void> {
    this.#send({ kind: 'stop' });
    return this.#ended();
  }

  crash(): Promise<void> {
    this.#child.kill('SIGKILL');
    return this.#ended();
  }

  #send(order: Order): void {
    this.#child.send(order);
  }

  #ended(): Promise<void> {
    return new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }
}

function main(file: string, first: Setup): void {
  const tell = (line: string): void => void process.send?.(line);
  const log = {
    info() {},
    warn: (fields: object, text: string) => tell(`log ${text} ${JSON.stringify(fields)}`),
  };
  const journal = new Journal(file, log);
  const told = (event: Event): void => {
    if (event.kind !== 'local-up' && event.kind !== 'local-down') return;
    const { ip, id, ifname, role } = event.local;
    tell(`${event.kind} ${ip}#${id}%${ifname} ${role}`);
  };
  const settings = ({ sourceRouting, roles }: Setup) => ({
    sourceRouting,
    addresses: {
      interfaceRule: (ifname: string) => ({
        role: roles[ifname] ?? 'primary',
        metered: false,
        named: roles[ifname] !== undefined,
      }),
      linkLocal: false,
      temporary: false,
      ignored: () => false,
    },
  });
  const paths = new HostPaths(
    { kernel: new RtnetlinkHost(loadAddon()), journal, clock: machineClock, log },
    settings(first),
    told,
  );
  journal.setSysctls(first.sysctls);
  paths.start();
  tell('started');
  process.on('message', (order: Order) => {
    if (order.kind === 'configure') {
      journal.setSysctls(order.setup.sysctls);
      paths.configure(settings(order.setup));
      tell('configured');
    } else {
      paths.stop();
      journal.setSysctls({});
      process.disconnect();
    }
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv[2]!, JSON.parse(process.argv[3]!));
