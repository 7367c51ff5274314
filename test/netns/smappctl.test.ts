/** smappctl against the real daemon on the real kernel: a phone whose Wi-Fi goes bad, seen from the command line. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeNetwork, type Network } from './namespaces.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const CLI = here('../../agent/cli.js');
const PORT = '5201';

let network: Network;
let folder: string;
let control: string;
let daemon: ChildProcess;
let recorder: ChildProcess;
let recording: string;
let token: string;

/** Runs smappctl in the client's namespace; as another user, when a number is given. */
function smappctl(args: readonly string[], uid?: number) {
  const as = uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  const command = [
    `--net=${network.client.path}`,
    ...as,
    process.execPath,
    CLI,
    '--control',
    control,
    ...args,
  ];
  const { status, stdout, stderr } = spawnSync('nsenter', command, { encoding: 'utf8', timeout: 20_000 });
  return { status, out: stdout, err: stderr };
}

function json(...args: string[]) {
  const { status, out, err } = smappctl([...args, '--json']);
  assert.equal(status, 0, `${out}${err}`);
  return JSON.parse(out);
}

async function until<T>(what: string, look: () => T | undefined | false): Promise<T> {
  for (let tries = 0; tries < 100; tries++) {
    const found = look();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${what} did not happen`);
}

before(async () => {
  network = makeNetwork({ names: ['wlan0', 'wwan0'], sourceRouting: false, rate: '50mbit', userspace: true });
  folder = mkdtempSync(join(tmpdir(), 'smappd-test-'));
  control = join(folder, 'control.sock');
  recording = join(folder, 'recording.jsonl');
  const policy = join(folder, 'policy.json');
  writeFileSync(
    policy,
    JSON.stringify({
      interfaces: { wlan0: { role: 'primary' }, wwan0: { role: 'backup', metered: true } },
      default: { controller: 'backup' },
      admin: ['daemon'],
    }),
  );
  daemon = network.client.start(
    process.execPath,
    [here('../../agent/main.js'), '--policy', policy, '--control', control, '--log', 'warn', '--no-live'],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  await until('the control socket', () => statSync(control, { throwIfNoEntry: false }));
  network.server.sysctl({ 'net.mptcp.pm_type': 0 });
  const server = network.server.start(process.execPath, [here('./traffic.js'), 'serve', '0.0.0.0', PORT], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(server.stdout!, 'data');
  recorder = network.client.start(process.execPath, [CLI, '--control', control, 'record', recording], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await until('the recording', () =>
    readFileSync(recording, { encoding: 'utf8', flag: 'a+' }).includes('start'),
  );
  network.client.start(
    process.execPath,
    [
      here('./traffic.js'),
      'send',
      network.paths[0]!.server.ip4,
      PORT,
      '--bytes',
      '100000000',
      '--rate',
      '500000',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  token = await until('a connection', () => json('connections').connections[0]?.token).then(String);
});

after(() => {
  network?.remove();
  rmSync(folder, { recursive: true, force: true });
});

test('the connection is shown with readings from the kernel', async () => {
  const connection = await until('data', () => {
    const shown = json('show', token);
    return shown.subflows[0]?.bytes_acked > 0 && shown;
  });
  const [subflow] = connection.subflows;
  assert.equal(connection.side, 'client');
  assert.equal(connection.controller, 'backup');
  assert.equal(connection.remote, `${network.paths[0]!.server.ip4}:${PORT}`);
  assert.equal(subflow.ifname, 'wlan0');
  assert.equal(subflow.state, 'established');
  assert.ok(subflow.rtt_us > 0 && subflow.rto_us >= 200_000 && subflow.pacing_rate > 0);
});

test('a subflow by hand: opened, made a backup, closed, and all of it explained', async () => {
  const silent = smappctl(['open', token, '--from', 'wwan0', '--to', '192.0.2.1:9', '--why', 'nobody there']);
  assert.equal(silent.status, 1, silent.out);
  assert.match(silent.err, /^open .*192\.0\.2\.1:9.*: failed: /);
  assert.match(smappctl(['open', token, '--from', 'wwan0', '--why', 'a test']).out, /^open .*%wwan0 -> /);
  const has = (ifname: string) =>
    json('show', token).subflows.find((one: { ifname: string }) => one.ifname === ifname);
  if (await has('wwan0')) smappctl(['close', token, 'wwan0']);
  await until('its end', () => !has('wwan0'));
  const { decisions } = json('explain', token);
  assert.equal(decisions.find(({ why }: { why: string }) => why === 'a test').outcome, 'done');
});

test('Wi-Fi goes bad: the controller moves to LTE, and says why', async () => {
  network.paths[0]!.loss(100);
  await until('a subflow over LTE', () =>
    json('show', token).subflows.some(({ ifname }: { ifname: string }) => ifname === 'wwan0'),
  );
  const { decisions, rule, controller } = json('explain', token);
  assert.equal(controller, 'backup');
  assert.match(rule, /default/);
  assert.ok(
    decisions.some(({ why, command }: Record<string, string>) => /RTO/.test(why!) && /open/.test(command!)),
  );
  assert.match(smappctl(['explain', token]).out, /RTO/);
});

test('the doctor finds nothing wrong while the daemon runs', () => {
  const { status, out } = smappctl(['doctor', '--json']);
  const { findings } = JSON.parse(out);
  const bad = findings.filter(({ level }: { level: string }) => level === 'problem');
  assert.deepEqual(bad, []);
  assert.equal(status, 0);
  const routes = findings.filter(
    ({ check, level }: Record<string, string>) => check === 'routing' && level === 'ok',
  );
  assert.equal(routes.length, 4, JSON.stringify(findings));
});

test('users: kept out, let in to read, let in to change', () => {
  const nobody = 65534;
  const inPolicy = 1; // Debian's user "daemon"
  assert.match(smappctl(['status'], nobody).err, /you may not use .*join its group/);
  chmodSync(control, 0o666);
  chmodSync(folder, 0o755);
  assert.equal(smappctl(['status'], nobody).status, 0);
  assert.match(smappctl(['reload'], nobody).err, /you may only read/);
  assert.equal(smappctl(['reload'], inPolicy).status, 0, smappctl(['reload'], inPolicy).err);
  chmodSync(control, 0o600);
});

test('top writes frames as text where there is no terminal', () => {
  const { out, status } = smappctl(['top', '--count', '2', '--interval', '0.2']);
  assert.equal(status, 0);
  assert.match(out, /wwan0 .*bit\/s/);
});

test('top on a terminal draws on the alternate screen, and gives the terminal back', () => {
  const words = [process.execPath, CLI, '--control', control, 'top', '--count', '1'];
  const command = [`--net=${network.client.path}`, 'script', '-qec', words.join(' '), '/dev/null'];
  const { status, stdout } = spawnSync('nsenter', command, {
    encoding: 'utf8',
    timeout: 20_000,
    input: '',
    env: { ...process.env, TERM: 'xterm' },
  });
  assert.equal(status, 0, stdout);
  const screen = stdout.slice(stdout.indexOf('\u001b[?1049h'), stdout.lastIndexOf('\u001b[?1049l'));
  assert.match(screen, /wwan0/);
  assert.ok(screen.includes('\u001b[2m') || screen.includes('\u001b[1m'), 'colours');
});

test('a second daemon refuses to start, and the first goes on', () => {
  const args = [
    `--net=${network.client.path}`,
    process.execPath,
    here('../../agent/main.js'),
    '--control',
    control,
    '--no-live',
  ];
  const { status, stderr } = spawnSync('nsenter', args, { encoding: 'utf8', timeout: 20_000 });
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`another smappd \\(pid ${json('status').pid}\\)`));
  assert.equal(network.client.run('sysctl', '-n', 'net.mptcp.pm_type').trim(), '1');
  assert.notEqual(network.client.run('ip', 'rule').match(/from 10\.0\./g), null);
});

test('what was recorded makes the agent decide the same again', async () => {
  recorder.kill('SIGINT');
  await once(recorder, 'exit');
  if (process.env['SMAPPD_KEEP_RECORDING'])
    writeFileSync(process.env['SMAPPD_KEEP_RECORDING'], readFileSync(recording));
  const { status, out, err } = smappctl(['replay', recording]);
  assert.equal(status, 0, `${out}${err}`);
  assert.match(out, /^= .*RTO/m);
});

test('at its end the daemon takes its socket away, and tells who watched', async () => {
  const watching = network.client.start(process.execPath, [CLI, '--control', control, 'events'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await until(
    'a watcher',
    () =>
      network.client
        .run('ss', '-xH')
        .split('\n')
        .filter((line) => line.includes(control)).length > 0,
  );
  daemon.kill('SIGTERM');
  const [[code], [watcher]] = await Promise.all([once(daemon, 'exit'), once(watching, 'exit')]);
  assert.deepEqual({ code, watcher }, { code: 0, watcher: 0 });
  assert.equal(statSync(control, { throwIfNoEntry: false }), undefined);
});
