/** `smappctl converter ...` in front of a daemon whose policy has a converter, while a client uses it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, TestDaemon } from './daemon.ts';
import { makeNetwork, type Network } from './namespaces.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const SERVER = '10.1.0.2';
const PORT = '8000';

let network: Network;
let daemon: TestDaemon;
let client: ChildProcess;

function smappctl(...args: string[]) {
  const command = [`--net=${network.router!.path}`, process.execPath, here('../../agent/cli.js')];
  const socket = ['--control', join(daemon.folder, 'control.sock')];
  const { status, stdout, stderr } = spawnSync('nsenter', [...command, ...socket, ...args], {
    encoding: 'utf8',
  });
  return { status, out: stdout, err: stderr };
}
const json = (...args: string[]) => JSON.parse(smappctl(...args, '--json').out);

before(async () => {
  network = makeNetwork({ router: true, rate: '100mbit' });
  network.router!.sysctl({ 'net.mptcp.enabled': 1, 'net.mptcp.blackhole_timeout': 0 });
  daemon = await TestDaemon.start(network.router!, {
    default: { controller: 'single' },
    converter: {
      explicit: { listen: ['0.0.0.0:5124'] },
      allow: ['10.1.0.0/16'],
      datapath: 'user',
      threads: 1,
    },
  });
  const server = network.server.start(
    process.execPath,
    [here('./traffic.js'), 'serve', SERVER, PORT, '--tcp'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  await once(server.stdout!, 'data');
  const via = here('../../../native/build/smapp-via');
  client = network.client.start(via, [`${network.paths[0]!.gateway.ip4}:5124`, `${SERVER}:${PORT}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  client.stdin!.write('hello');
  await eventually('the connection is relayed', async () => {
    const { connections } = json('converter', 'connections');
    return connections?.[0]?.bytes_up >= 5 ? connections : undefined;
  });
});
after(async () => {
  await daemon?.stop();
  network?.remove();
});

test('connections: both ends, and the token by which smappctl show finds the client side', () => {
  const [connection, ...others] = json('converter', 'connections').connections;
  assert.deepEqual(others, []);
  assert.equal(connection.server, `${SERVER}:${PORT}`);
  assert.match(connection.client, new RegExp(`^${network.paths[0]!.client.ip4}:\\d+$`));
  assert.equal(connection.protocol, 'mptcp');
  assert.equal(json('show', String(connection.token)).side, 'server');
  const { out } = smappctl('converter', 'connections');
  assert.match(
    out,
    /^TOKEN +CLIENT IS .*\n0x[0-9a-f]{8} +mptcp +1 +10\.0\.1\.2:\d+ +10\.1\.0\.2:8000 +relay /,
  );
});

test('status: counters, memory, time to open', () => {
  const stats = json('converter', 'status');
  assert.equal(stats.active, 1);
  assert.ok(stats.rss_bytes > 0);
  assert.match(
    smappctl('converter', 'status').out,
    /clients +1 now, 1 in all, 1 with MPTCP\nservers +1 opened, /,
  );
});

test('top: a frame after each second, and an end after the last', () => {
  const { status, out } = smappctl('converter', 'top', '--count', '1');
  assert.equal(status, 0);
  assert.match(out, /^1 connections {2}\d+ new a second {2}up /);
});

test('the connection goes on to its end', async () => {
  client.stdin!.end();
  let answer = '';
  for await (const chunk of client.stdout!) answer += chunk;
  assert.match(answer, /^5 [0-9a-f]{64}$/);
});

test('without a converter in the policy: says so, and what to do', async () => {
  const other = await TestDaemon.start(network.client, { default: { controller: 'single' } });
  try {
    await assert.rejects(other.call('converter-status'), /no converter runs/);
  } finally {
    await other.stop();
  }
});
