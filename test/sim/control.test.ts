/** smappctl and the control socket, in front of the real agent on the simulated kernel. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { lstatSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { defineController } from '../../controllers/controller.ts';
import { ControlledSimulation } from './control.ts';

const TOKEN = 0x1a2b3c4d;
const NEIGHBOUR = 0x1a2b0000;
const FAR = 0x00000007;
const SERVER = { ip: '10.1.0.1', port: 80 };

const giveUp = defineController({
  name: 'give-up',
  summary: 'closes a subflow whose RTO passes a second',
  params: {},
  attach: (conn) => ({
    stalled: (subflow, rto) => {
      if (rto > 1000) conn.do({ kind: 'close', subflow }, `RTO ${rto} ms`);
    },
  }),
});

let sim: ControlledSimulation;

before(async () => {
  sim = new ControlledSimulation(giveUp, ['10.0.0.1%wlan0', '100.64.0.1%wwan0 backup']);
  for (const [port, token] of [TOKEN, NEIGHBOUR, FAR].entries()) {
    sim.kernel.connect(token, { ip: '10.0.0.1', port: 5000 + port }, SERVER);
  }
  sim.kernel.inKernel.add(9);
  sim.kernel.connect(9, { ip: '10.0.0.1', port: 5009 }, SERVER, 'server');
  await sim.start();
});
after(() => sim.end());

test('connections in JSON have the shape that the documentation promises', async () => {
  const { status, out } = await sim.smappctl(['connections', '--json']);
  assert.equal(status, 0);
  const { connections } = JSON.parse(out);
  assert.equal(connections.length, 4);
  assert.deepEqual(connections[0], {
    token: TOKEN,
    side: 'client',
    app: '',
    controller: 'give-up',
    local: '10.0.0.1:5000',
    remote: '10.1.0.1:80',
    since: '2026-01-01T00:00:00.000Z',
    commanded: true,
    subflows: [
      {
        key: '10.0.0.1:5000-10.1.0.1:80',
        ifname: 'wlan0',
        local: '10.0.0.1:5000',
        remote: '10.1.0.1:80',
        backup: false,
        state: 'established',
        rtt_us: 20_000,
        rto_us: 220_000,
        pacing_rate: 0,
        bytes_acked: 0,
        bytes_received: 0,
        retransmits: 0,
      },
    ],
  });
});

test('connections for people: a line each, those of the in-kernel manager without a controller', async () => {
  const { out } = await sim.smappctl(['connections']);
  assert.deepEqual(
    out.split('\n').map((line) => line.replace(/ +/g, ' ')),
    [
      'TOKEN SIDE APP CONTROLLER LOCAL REMOTE AGE SUBFLOWS',
      '0x1a2b3c4d client - give-up 10.0.0.1:5000 10.1.0.1:80 0s wlan0',
      '0x1a2b0000 client - give-up 10.0.0.1:5001 10.1.0.1:80 0s wlan0',
      '0x00000007 client - give-up 10.0.0.1:5002 10.1.0.1:80 0s wlan0',
      '0x00000009 server - - 10.0.0.1:5009 10.1.0.1:80 0s wlan0',
      '',
    ],
  );
});

test('status counts', async () => {
  const { out } = await sim.smappctl(['status', '--json']);
  const { pid, connections, subflows, uncommanded, controllers, locals } = JSON.parse(out);
  assert.deepEqual(
    { pid, connections, subflows, uncommanded, controllers, locals: locals.length },
    { pid: 42, connections: 4, subflows: 4, uncommanded: 1, controllers: { 'give-up': 3 }, locals: 2 },
  );
  assert.match(
    (await sim.smappctl(['status'])).out,
    /connections\s+4 with 4 subflows, 1 under the in-kernel/,
  );
});

for (const [typed, token] of [
  ['0x1a2b3c4d', TOKEN],
  ['1A2B3C4D', TOKEN],
  [String(TOKEN), TOKEN],
  ['0x1a2b3', TOKEN],
  ['1a2b0', NEIGHBOUR],
  ['7', FAR],
] as const) {
  test(`a token may be typed as ${typed}`, async () => {
    const { out, err } = await sim.smappctl(['show', typed, '--json']);
    assert.equal(JSON.parse(out).token, token, err);
  });
}

test('a beginning that fits two connections is refused, and both are named', async () => {
  const { status, err } = await sim.smappctl(['show', '0x1a2b']);
  assert.equal(status, 1);
  assert.match(err, /fits more than one connection\n {2}type more of it: 0x1a2b3c4d, 0x1a2b0000/);
});

test('a token that is not there says where to look', async () => {
  const { status, out } = await sim.smappctl(['explain', '0xffffffff', '--json']);
  assert.equal(status, 1);
  const { error } = JSON.parse(out);
  assert.equal(error.code, -32002);
  assert.match(error.remedy, /smappctl connections/);
});

test('a subflow opened by hand is explained with its reason and what came of it', async () => {
  const opened = await sim.smappctl([
    'open',
    '7',
    '--from',
    'wwan0',
    '--no-wait',
    '--why',
    'to see whether it works',
  ]);
  assert.equal(opened.out, 'open 100.64.0.1%wwan0 -> 10.1.0.1:80 backup\n', opened.err);
  const last = async () => JSON.parse((await sim.smappctl(['explain', '7', '--json'])).out).decisions.at(-1);
  assert.deepEqual(
    { ...(await last()), at: '' },
    {
      at: '',
      why: 'to see whether it works',
      command: 'open 100.64.0.1%wwan0 -> 10.1.0.1:80 backup',
      outcome: 'waiting',
    },
  );
  sim.clock.advance(20);
  const { outcome } = JSON.parse((await sim.smappctl(['explain', '7', '--json'])).out).decisions.find(
    ({ why }: { why: string }) => why === 'to see whether it works',
  );
  assert.equal(outcome, 'done');
  assert.equal(sim.kernel.subflows(FAR).length, 2);
});

test('backup and close find a subflow by its interface; a wrong name lists the right ones', async () => {
  assert.match(
    (await sim.smappctl(['backup', '7', 'wlan0'])).out,
    /^backup 10\.0\.0\.1:5002-10\.1\.0\.1:80 on/,
  );
  assert.match((await sim.smappctl(['close', '7', '100.64.0.1'])).out, /^close 100\.64\.0\.1:/);
  const { status, err } = await sim.smappctl(['close', '7', 'eth9']);
  assert.equal(status, 1);
  assert.match(err, /no subflow "eth9"\n {2}choose one of: 10\.0\.0\.1:5002-10\.1\.0\.1:80/);
});

test("the kernel's refusal reaches the user", async () => {
  sim.kernel.refuse = () => ({ errno: 22, message: 'did not match address and id' });
  const { status, err } = await sim.smappctl(['announce', '7', 'wwan0']);
  sim.kernel.refuse = undefined;
  assert.equal(status, 1);
  assert.match(err, /did not match address and id/);
});

test('connections under the in-kernel manager take no commands', async () => {
  const { status, err } = await sim.smappctl(['open', '9']);
  assert.equal(status, 1);
  assert.match(err, /in-kernel path manager/);
});

test('who is not root and no admin may read, not change', async () => {
  sim.peer = { pid: 1, uid: 1000, gid: 1000 };
  try {
    assert.equal((await sim.smappctl(['connections'])).status, 0);
    const { status, err } = await sim.smappctl(['close', '7', 'wlan0']);
    assert.equal(status, 1);
    assert.match(
      err,
      /you may only read\n {2}run it as root, or have your user named in the policy's "admin"/,
    );
    sim.admins = [1000];
    assert.equal((await sim.smappctl(['announce', '7', 'wwan0'])).status, 0);
  } finally {
    sim.peer = { pid: 1, uid: 0, gid: 0 };
    sim.admins = [];
  }
});

test('events shows what happens to one connection, decisions with their reasons', async () => {
  const watching = sim.smappctl(['events', '0x1a2b3', '--json'], (out) => out.includes('"subflow-down"'));
  while (sim.server!.streams === 0) await new Promise((done) => setTimeout(done, 5));
  sim.kernel.stall(NEIGHBOUR, '10.0.0.1', 400);
  sim.kernel.stall(TOKEN, '10.0.0.1', 5000);
  sim.clock.advance(20);
  const { out, status } = await watching;
  assert.equal(status, 0);
  const lines = out
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text));
  assert.ok(lines.every(({ token }) => token === TOKEN));
  assert.ok(lines.some(({ kind, rto }) => kind === 'stalled' && rto === 5000));
  assert.ok(lines.some(({ kind, why, command }) => kind === 'decision' && why && /^close/.test(command)));
});

test('a bad policy at reload: errors on standard error, exit status 1', async () => {
  const { status, out, err } = await sim.smappctl(['reload']);
  assert.deepEqual({ status, out }, { status: 1, out: '' });
  assert.match(err, /^policy\.json:1:1: : bad\nthe policy that was in force stays in force/);
});

test('a second daemon refuses to start and names the first', async () => {
  await assert.rejects(sim.serve(), /another smappd \(pid 1\) serves .*control\.sock: stop it first/);
  assert.equal((await sim.smappctl(['status'])).status, 0);
});

test('a socket left behind by a daemon that was killed is replaced', async () => {
  const path = `${sim.path}.stale`;
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  assert.ok(lstatSync(path).isSocket());
  const server = await sim.serve(path);
  await server.close();
  assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined);
});

test('a file in the way is never removed', async () => {
  const path = `${sim.path}.file`;
  writeFileSync(path, 'precious');
  await assert.rejects(sim.serve(path), /in the way and no socket: remove it/);
});

test('nobody but the owner may use a socket without a group', () => {
  assert.equal(lstatSync(sim.path).mode & 0o777, 0o600);
});

test('no daemon: says how to start it', async () => {
  const { status, err } = await sim.smappctl(['status', '--control', `${sim.path}.none`]);
  assert.equal(status, 1);
  assert.match(err, /smappd does not run .*systemctl start smappd/);
});

test('a client that never reads its events costs a bounded amount, and is told what it missed', async () => {
  const socket = createConnection(sim.path);
  await new Promise((done) => socket.once('connect', done));
  socket.write('{"jsonrpc":"2.0","id":1,"method":"subscribe"}\n');
  await new Promise((done) => socket.once('data', done));
  socket.pause();
  const before = process.memoryUsage().rss;
  for (let round = 0; round < 50; round++) {
    for (let count = 0; count < 2000; count++) sim.kernel.stall(FAR, '10.0.0.1', 200);
    await new Promise((done) => setImmediate(done));
  }
  assert.ok(sim.server!.dropped > 50_000, `${sim.server!.dropped} dropped`);
  assert.ok(process.memoryUsage().rss - before < 100 << 20);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.resume();
  while (!text.includes('"dropped"')) await new Promise((done) => setTimeout(done, 5));
  const line = text.split('\n').find((one) => one.includes('"dropped"'))!;
  assert.equal(JSON.parse(line).params.count, sim.server!.dropped);
  socket.destroy();
});

test('a client that asks without reading the answers is not read from any more', async () => {
  const socket = createConnection(sim.path);
  socket.pause();
  const request = '{"jsonrpc":"2.0","id":1,"method":"connections"}\n'.repeat(1000);
  for (let round = 0; round < 50; round++) {
    socket.write(request);
    await new Promise((done) => setTimeout(done, 2));
  }
  assert.ok(socket.writableLength > 0, 'the daemon took everything');
  socket.destroy();
});

test('a server that is no smappd makes no mess', async () => {
  const path = `${sim.path}.other`;
  const other = createServer((socket) => socket.resume().end('hello\n'));
  await new Promise<void>((done) => other.listen(path, done));
  const { status, err } = await sim.smappctl(['status', '--control', path]);
  assert.equal(status, 1);
  assert.match(err, /no smappd/);
  await new Promise((done) => other.close(done));
});
