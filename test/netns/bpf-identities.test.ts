/** Who made a connection, out of eBPF, on the running kernel. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { cgroupMounts } from '../../agent/apps/cgroups.ts';
import { localTokens, printed, talk, until } from './mptcp-talk.ts';
import type { Network } from './namespaces.ts';

const ASKER = fileURLToPath(new URL('identity-asker.js', import.meta.url));

/** An identity-asker.js in the client's namespace. */
async function startAsker({ client }: Network) {
  const asker = client.start('node', [ASKER], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = printed(asker);
  await until('the asker is ready', () => lines.length > 0);
  assert.equal(JSON.parse(lines.shift()!).works, true);
  return async (token: number) => {
    asker.stdin!.write(`${token}\n`);
    await until('the asker answers', () => lines.length > 0);
    return JSON.parse(lines.shift()!);
  };
}

/** The inode number of the directory of a process's cgroup v2. */
function cgroupOf({ pid }: ChildProcess): number {
  const path = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))![1]!;
  return statSync(join(cgroupMounts(readFileSync('/proc/mounts', 'utf8')).unified!, path)).ino;
}

for (const ipv6 of [false, true]) {
  test(`the process that connected is known, by IPv${ipv6 ? 6 : 4}, also after a join`, async (t) => {
    let ask!: Awaited<ReturnType<typeof startAsker>>;
    const { network, client } = await talk(t, {
      ipv6,
      joined: true,
      prepare: async (made) => {
        ask = await startAsker(made);
      },
    });
    const [token, same] = localTokens(network.client);
    assert.equal(token, same);
    const { comm, ...identity } = await ask(token!);
    assert.deepEqual(identity, { pid: client.pid, uid: process.getuid!(), cgroup: cgroupOf(client) });
    assert.equal(comm, 'node');
    assert.equal(await ask((token! ^ 1) >>> 0), null);
  });
}
