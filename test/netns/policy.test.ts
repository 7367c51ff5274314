/** The running daemon's policy: it chooses by application, follows its file, and outlives a bad one. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionJson, ExplanationJson, ReloadJson, StatusJson } from '../../agent/control/daemon.ts';
import { Applications } from './application.ts';
import { makeNetwork, type Network } from './namespaces.ts';

const program = (name: string): string => new URL(`../../agent/${name}.js`, import.meta.url).pathname;
const PATIENCE = 10_000;

let applications: Applications;
let network: Network;
let daemon: ChildProcess;
let policyFile: string;
let control: string;

const policy = (controller: string): string =>
  JSON.stringify({
    apps: [{ name: 'player', match: { exe: applications.path('player') }, controller }],
    default: { controller: 'single' },
  });

function ctl<T>(...args: string[]): T {
  const command = [program('cli'), '--control', control, '--json', ...args];
  return JSON.parse(
    execFileSync(process.execPath, command, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }),
  );
}

/** Asks until the answer is right. */
async function until<T>(ask: () => T, right: (answer: T) => boolean): Promise<T> {
  const end = Date.now() + PATIENCE;
  for (;;) {
    let answer: T | undefined;
    let failure: unknown;
    try {
      answer = ask();
      if (right(answer)) return answer;
    } catch (error) {
      failure = error;
    }
    if (Date.now() > end) throw new Error(`still not: ${JSON.stringify(answer)}`, { cause: failure });
    await sleep(50);
  }
}

before(async () => {
  applications = new Applications('player', 'other', 'server');
  policyFile = applications.path('policy.json');
  control = applications.path('control.sock');
  writeFileSync(policyFile, policy('ndiffports'));
  network = makeNetwork({ paths: 1 });
  const { client, server, paths } = network;
  const args = [program('main'), '--policy', policyFile, '--control', control, '--no-live', '--log', 'error'];
  daemon = client.start(process.execPath, args, { stdio: ['ignore', 'inherit', 'ignore'] });
  await until(
    () => ctl<StatusJson>('status'),
    () => true,
  );
  await applications.start(server, { program: 'server' }, 'server', '8000');
  await applications.start(client, { program: 'player' }, 'client', paths[0]!.server.ip4, '8000', '4001');
  await applications.start(client, { program: 'other' }, 'client', paths[0]!.server.ip4, '8000', '4002');
});

test('a converter that cannot be had: the rest is in force, and reload tells', async () => {
  const before = readFileSync(policyFile, 'utf8');
  const converter = { explicit: { listen: ['192.0.2.1:5124'] } };
  writeFileSync(policyFile, JSON.stringify({ ...JSON.parse(before), converter }));
  assert.throws(
    () => execFileSync(process.execPath, [program('cli'), '--control', control, 'reload'], { stdio: 'pipe' }),
    /policy\.json is in force, but the converter runs as before: .*192\.0\.2\.1/,
  );
  assert.match(ctl<StatusJson>('status').problems[0] ?? '', /converter runs as before/);
  writeFileSync(policyFile, before);
  assert.equal(ctl<ReloadJson>('reload').ok, true);
  assert.deepEqual(ctl<StatusJson>('status').problems, []);
});

after(() => {
  network?.remove();
  applications?.remove();
});

function connections(): { app: string; controller: string; token: number }[] {
  const all = ctl<ConnectionJson[] | { connections: ConnectionJson[] }>('connections');
  const list = Array.isArray(all) ? all : all.connections;
  return list
    .toSorted((a, b) => a.local.localeCompare(b.local))
    .map(({ app, controller, token }) => ({ app, controller, token }));
}

const chosen = (first: string) => (list: { controller: string }[]) =>
  list.length === 2 && list[0]!.controller === first && list[1]!.controller === 'single';

test('each connection has the controller of its application, and explain says why', async () => {
  const [player, other] = await until(connections, chosen('ndiffports'));
  assert.equal(player?.app, 'player');
  assert.equal(other?.app, '');
  const { rule } = ctl<ExplanationJson>('explain', String(player?.token));
  assert.equal(rule, `app "player" matches by exe ${applications.path('player')}`);
});

test('a changed file is in force without being asked for', async () => {
  writeFileSync(`${policyFile}.new`, policy('fullmesh'));
  renameSync(`${policyFile}.new`, policyFile);
  await until(connections, chosen('fullmesh'));
});

test('a bad file changes nothing, and status says what is wrong with it', async () => {
  writeFileSync(policyFile, policy('fulmesh'));
  const { policy: state } = await until(
    () => ctl<StatusJson>('status'),
    (status) => status.policy.error !== undefined,
  );
  assert.match(state.error!, /policy\.json:1:\d+: \/apps\/0\/controller: unknown value `"fulmesh"`/);
  assert(chosen('fullmesh')(connections()));
  assert.throws(
    () => ctl('reload'),
    ({ status, stdout }: { status: number; stdout: string }) => {
      const { ok, errors } = JSON.parse(stdout);
      assert.deepEqual([status, ok, errors], [1, false, [state.error]]);
      return true;
    },
  );
});

test('reload and SIGHUP read it again', async () => {
  writeFileSync(policyFile, policy('backup'));
  ctl('reload');
  await until(connections, chosen('backup'));
  const before = ctl<StatusJson>('status').policy;
  assert.equal(before.error, undefined);
  process.kill(daemon.pid!, 'SIGHUP');
  await until(
    () => ctl<StatusJson>('status').policy,
    ({ loaded }) => loaded > before.loaded,
  );
});
