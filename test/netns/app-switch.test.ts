/**
 * `"mptcp": true` through the whole daemon: bash, which makes plain TCP sockets, gets MPTCP connections and a second
 * subflow. Skipped on kernels that do not let eBPF choose; Debian's 6.12 does (test/vm/daemon.test.ts).
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadBpf } from '../../agent/bpf/addon.ts';
import { openMptcpSwitch } from '../../agent/bpf/mptcp-switch.ts';
import { TestDaemon } from './daemon.ts';
import { makeNetwork, type Namespace } from './namespaces.ts';
import { takeDown } from './scene.ts';

const BASH = realpathSync('/bin/bash');
const trial = openMptcpSwitch(loadBpf());
trial.close();

test('an application that makes TCP sockets has two subflows, another one none', {
  skip: trial.works ? false : trial.reason,
}, async (t) => {
  const network = makeNetwork({ paths: 2 });
  t.after(() => network.remove());
  const { client, server, paths } = network;
  const app = { name: 'plain', match: { exe: BASH }, mptcp: true, controller: 'fullmesh' };
  const daemon = await TestDaemon.start(client, { apps: [app], default: { controller: 'single' } });
  const { ip4 } = paths[0]!.server;
  const peer = server.start(process.execPath, [PEER, 'listen', ip4], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [port] = await once(peer.stdout!, 'data');

  const another = join(daemon.folder, 'another');
  copyFileSync(BASH, another);
  await connect(client, another, ip4, Number(port));
  await connect(client, BASH, ip4, Number(port));
  const [connection, ...others] = await daemon.until(1, 2);
  assert.deepEqual([connection?.app, connection?.controller, others], ['plain', 'fullmesh', []]);
  await takeDown(network, daemon);
});

const PEER = fileURLToPath(new URL('mptcp-peer.js', import.meta.url));

/** Returns when it is connected and has sent a line; it stays connected. */
async function connect(where: Namespace, shell: string, ip: string, port: number): Promise<void> {
  const script = `exec 3<>/dev/tcp/${ip}/${port}; echo hello >&3; echo sent; read -u 3`;
  const child = where.start(shell, ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
}
