/** The real daemon in a namespace of a test, alone or under the supervisor, and what it tells over its socket. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type ControlClient, connectControl } from '../../agent/control/client.ts';
import type { ConnectionJson, ExplanationJson, Notice, StatusJson } from '../../agent/control/daemon.ts';
import type { Event } from '../../agent/model.ts';
import type { Namespace } from './namespaces.ts';
import { PATIENCE, type Supervised, supervise } from './supervisor.ts';

export const MAIN = fileURLToPath(new URL('../../agent/main.js', import.meta.url));

export class TestDaemon {
  /** Everything that it told since the last start, oldest first. */
  readonly notices: Notice[] = [];
  readonly folder: string;
  readonly supervised: Supervised | undefined;
  #client: ControlClient | undefined;
  #kill: (signal: NodeJS.Signals) => void;
  #ended: Promise<unknown> = Promise.resolve();

  private constructor(
    folder: string,
    kill: (signal: NodeJS.Signals) => void,
    supervised: Supervised | undefined,
  ) {
    this.folder = folder;
    this.#kill = kill;
    this.supervised = supervised;
  }

  static async start(
    namespace: Namespace,
    policy: object,
    options: { supervised?: boolean } = {},
  ): Promise<TestDaemon> {
    const folder = mkdtempSync(join(tmpdir(), 'smappd-test-'));
    writeFileSync(join(folder, 'policy.json'), JSON.stringify(policy));
    const args = [
      MAIN,
      '--policy',
      join(folder, 'policy.json'),
      '--control',
      join(folder, 'control.sock'),
      '--log',
      'warn',
    ];
    let daemon: TestDaemon;
    if (options.supervised) {
      const supervised = await supervise(['nsenter', `--net=${namespace.path}`, process.execPath, ...args]);
      daemon = new TestDaemon(folder, (signal) => process.kill(supervised.pid, signal), supervised);
    } else {
      const child = namespace.start(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
      daemon = new TestDaemon(folder, (signal) => child.kill(signal), undefined);
      daemon.#ended = once(child, 'exit');
    }
    await daemon.connect();
    return daemon;
  }

  /** Also after a restart. */
  async connect(): Promise<void> {
    this.#client?.close();
    const socket = join(this.folder, 'control.sock');
    this.#client = await eventually('the daemon answers', async () =>
      connectControl(socket).catch(() => undefined),
    );
    const listener = await connectControl(socket);
    this.notices.length = 0;
    void listener
      .watch(
        'subscribe',
        {},
        (notice) => this.notices.push(notice as Notice),
        () => {},
      )
      .catch(() => {});
    await listener.call('status'); // answered after the subscription
  }

  call(method: string, params: object = {}): Promise<unknown> {
    return this.#client!.call(method, params);
  }

  async connections(): Promise<ConnectionJson[]> {
    return (await this.call('connections')) as ConnectionJson[];
  }

  async explain(token: number): Promise<ExplanationJson> {
    return (await this.call('explain', { token })) as ExplanationJson;
  }

  async status(): Promise<StatusJson> {
    return (await this.call('status')) as StatusJson;
  }

  /** Waits until there are so many connections, all with so many subflows. */
  async until(connections: number, subflows: number): Promise<ConnectionJson[]> {
    return eventually(`${connections} connections of ${subflows} subflows`, async () => {
      const found = await this.connections();
      return found.length === connections && found.every((one) => one.subflows.length === subflows)
        ? found
        : undefined;
    });
  }

  /** The first event of this kind, now or soon. */
  async event<K extends Event['kind']>(kind: K): Promise<Event & { kind: K }> {
    return eventually(`event ${kind}`, async () => {
      const events = this.notices.flatMap((notice) => (notice.kind === 'event' ? [notice.event] : []));
      return events.find((event): event is Event & { kind: K } => event.kind === kind);
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#kill(signal);
  }

  /** Not of a supervised one: that is started again. */
  async crash(): Promise<void> {
    this.signal('SIGKILL');
    await this.#ended;
  }

  async stop(): Promise<void> {
    this.#client?.close();
    if (this.supervised) await this.supervised.stop();
    else this.signal('SIGTERM');
    await this.#ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Asks again and again until there is an answer; throws, naming `what`, when there is none for too long. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  patience = PATIENCE,
): Promise<T> {
  const end = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`waited ${patience} ms in vain: ${what}`);
    await sleep(30);
  }
}
