/** A connection between the two ends of a network of namespaces, for tests of what the kernel tells of it. */
import assert from 'node:assert/strict';
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { makeNetwork, type Namespace, type Network } from './namespaces.ts';

const PEER = fileURLToPath(new URL('mptcp-peer.js', import.meta.url));

/** The ends are mptcp-peer.js: what they read on their standard input they send. */
export interface Talk {
  readonly network: Network;
  /** The server's port: it tells this connection from others on the machine. */
  readonly port: number;
  readonly client: ChildProcess;
  readonly server: ChildProcess;
}

/** Connects over path 0; with `joined` the kernel adds a subflow over path 1. */
export async function talk(
  t: TestContext,
  options: { ipv6?: boolean; joined?: boolean; prepare?: (network: Network) => Promise<void> } = {},
): Promise<Talk> {
  const network = makeNetwork({ paths: 2, userspace: false });
  t.after(network.remove);
  await options.prepare?.(network);
  const family = options.ipv6 ? 'ip6' : 'ip4';
  const [first, second] = network.paths;
  const address = first!.server[family];
  if (options.joined) {
    const endpoint = second!.client[family];
    network.client.run('ip', 'mptcp', 'endpoint', 'add', endpoint, 'dev', second!.ifname, 'subflow');
  }
  const stdio: SpawnOptions = { stdio: ['pipe', 'pipe', 'inherit'] };
  const server = network.server.start('node', [PEER, 'listen', address], stdio);
  const port = Number(await firstLine(server));
  const client = network.client.start('node', [PEER, 'connect', address, String(port)], stdio);
  await firstLine(client);
  client.stdin!.write('1\n');
  const subflows = options.joined ? 2 : 1;
  await until('the subflows are up', () => established(network.server).length === subflows);
  return { network, port, client, server };
}

async function firstLine(child: ChildProcess): Promise<string> {
  const lines = printed(child);
  await until('the peer is ready', () => lines.length > 0);
  return lines[0]!;
}

/** The lines that a child prints, as they come. */
export function printed(child: ChildProcess): string[] {
  const lines: string[] = [];
  createInterface(child.stdout!).on('line', (line) => lines.push(line));
  return lines;
}

/** Tokens that a host's subflows carry. */
export function localTokens(namespace: Namespace): number[] {
  const tokens = established(namespace).map((line) => /token:\w+\(id:\d+\)\/(\w+)/.exec(line)![1]!);
  return tokens.map((token) => Number.parseInt(token, 16));
}

function established(namespace: Namespace): string[] {
  return namespace
    .run('ss', '-tinH', 'state', 'established')
    .split('\n')
    .filter((line) => line.includes('tcp-ulp-mptcp'));
}

export async function until(what: string, condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 20) {
    assert.ok(waited < 15_000, `not within 15 s: ${what}`);
    await sleep(20);
  }
}
