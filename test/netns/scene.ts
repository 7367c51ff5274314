/** What most tests of the daemon begin with: a network, traffic over it, and a daemon on either side. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { TestDaemon } from './daemon.ts';
import type { Namespace, Network } from './namespaces.ts';

const TRAFFIC = fileURLToPath(new URL('traffic.js', import.meta.url));
export const PORT = 5000;

/** Listens for transfers at `ip`, all addresses when it is `::`. */
export async function serve(namespace: Namespace, ip: string): Promise<void> {
  const server = namespace.start(process.execPath, [TRAFFIC, 'serve', ip, String(PORT)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(server.stdout!, 'data');
}

export interface Sent {
  readonly completed: number;
  /** Received byte by byte as they were sent. */
  readonly intact: number;
  readonly failed: number;
  readonly errors: readonly string[];
}

/** Starts transfers, slow ones so that there is something to look at; `end` resolves to what became of them. */
export function transfer(
  namespace: Namespace,
  ip: string,
  { connections = 1, bytes, rate }: { connections?: number; bytes: number; rate: number },
): { end(): Promise<Sent> } {
  const options = ['--connections', String(connections), '--bytes', String(bytes), '--rate', String(rate)];
  const child: ChildProcess = namespace.start(
    process.execPath,
    [TRAFFIC, 'send', ip, String(PORT), ...options],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let output = '';
  child.stdout!.on('data', (text) => {
    output += text;
  });
  const ended = once(child, 'close');
  return {
    async end() {
      await ended;
      return JSON.parse(output) as Sent;
    },
  };
}

/** Ends daemons and takes the network down, in this order. */
export async function takeDown(network: Network, ...daemons: readonly TestDaemon[]): Promise<void> {
  await Promise.all(daemons.map((daemon) => daemon.stop()));
  network.remove();
}
