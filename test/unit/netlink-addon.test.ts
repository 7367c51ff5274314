/** The native addon against the kernel: netlink requests, lost messages, the event loop, MPTCP sockets. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { setImmediate as turnOfEventLoop } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { loadAddon } from '../../agent/netlink/addon.ts';

const addon = loadAddon();
const addonUrl = new URL('../../agent/netlink/addon.js', import.meta.url).href;
const GENERIC = 16;
const needsRoot = { skip: process.getuid?.() !== 0 && 'needs root' };

/** CTRL_GETFAMILY of "nlctrl", with or without an ACK after the reply. */
function getFamily(ack: boolean): Buffer {
  const message = Buffer.from('20000000100001000100000000000000030100000b0002006e6c6374726c0000', 'hex');
  message[6] = ack ? 5 : 1;
  return message;
}

test('a request is answered before it returns, and the ACK lies behind the reply', () => {
  const socket = new addon.NetlinkSocket(GENERIC, 0);
  const reply = Buffer.alloc(65536);
  const request = getFamily(true);
  assert.equal(socket.request(request, request.length, reply), reply.readUInt32LE(0));
  assert.equal(reply.readUInt16LE(4), 16);
  assert.equal(reply.readUInt32LE(12), socket.portId);
  assert.equal(socket.receive(reply), 36);
  assert.equal(reply.readUInt16LE(4), 2);
  assert.equal(socket.receive(reply), 0);
  socket.close();
});

test('errors carry code, errno and call', () => {
  const socket = new addon.NetlinkSocket(GENERIC, 0);
  assert.throws(() => socket.join(1 << 20), { code: 'EINVAL', errno: 22, syscall: 'setsockopt' });
  const request = getFamily(false);
  assert.throws(() => socket.request(request, request.length, Buffer.alloc(8)), { code: 'EMSGSIZE' });
  assert.throws(() => socket.request(request, request.length + 1, Buffer.alloc(8)), RangeError);
  socket.close();
  assert.throws(() => socket.fd, { code: 'EBADF' });
  assert.throws(() => addon.closeFd(-1), { code: 'EBADF', errno: 9, syscall: 'close' });
  assert.throws(() => addon.setCloseOnExec(-1, true), { code: 'EBADF' });
});

test('the receive buffer is as large as root asks', needsRoot, () => {
  const socket = new addon.NetlinkSocket(GENERIC, 16 << 20);
  assert.equal(socket.receiveBuffer, 32 << 20);
  socket.close();
});

/** Sends numbered datagrams to multicast group 1 of NETLINK_USERSOCK, which is there for user programs. */
function multicast(count: number): void {
  const script =
    'socket(S, 16, 3, 2) or die $!; for (1 .. $ARGV[0]) { ' +
    'send(S, pack("LSSLLa200", 216, 16, 0, $_, 0, ""), 0, pack("SSLL", 16, 0, 0, 1)) }';
  assert.equal(spawnSync('perl', ['-e', script, String(count)], { stdio: 'inherit' }).status, 0);
}

test(
  'lost messages are reported once, what was kept arrives in order, and watching goes on',
  needsRoot,
  async (t) => {
    const socket = new addon.NetlinkSocket(2, 65536);
    t.after(() => socket.close());
    socket.join(1);
    const [slots, slot] = [8, 256];
    const buffer = Buffer.alloc(slots * slot);
    const lengths = new Int32Array(slots);
    const errors: number[] = [];
    const numbers: number[] = [];
    socket.watch(
      buffer,
      lengths,
      (count) => {
        for (let i = 0; i < count; i++) {
          assert.equal(lengths[i], 216);
          numbers.push(buffer.readUInt32LE(i * slot + 8));
        }
      },
      (errno) => errors.push(errno),
    );
    const quiet = async (): Promise<void> => {
      await turnOfEventLoop();
      for (let before = -1; before !== numbers.length; ) {
        before = numbers.length;
        await turnOfEventLoop();
      }
    };
    multicast(2000);
    await quiet();
    assert.deepEqual(errors, [105]);
    const kept = numbers.length;
    assert.ok(kept > slots && kept < 2000, `${kept} kept`);
    assert.deepEqual(
      numbers,
      Array.from({ length: kept }, (_, i) => i + 1),
    );
    multicast(1);
    await quiet();
    assert.equal(numbers.length, kept + 1);
    assert.deepEqual(errors, [105]);
    socket.close();
  },
);

test('a datagram longer than a slot has length -1', needsRoot, async (t) => {
  const socket = new addon.NetlinkSocket(2, 0);
  t.after(() => socket.close());
  socket.join(1);
  const lengths = new Int32Array(2);
  const count = new Promise<number>((resolve) => socket.watch(Buffer.alloc(400), lengths, resolve, () => {}));
  multicast(1);
  assert.equal(await count, 1);
  assert.equal(lengths[0], -1);
});

test('an exception from a callback becomes an uncaughtException, and watching goes on', async () => {
  const script = `
    import { loadAddon } from ${JSON.stringify(addonUrl)};
    const socket = new (loadAddon().NetlinkSocket)(16, 0);
    const request = Buffer.from('${getFamily(true).toString('hex')}', 'hex');
    let seen = 0;
    process.on('uncaughtException', (error) => {
      console.log(error.message);
      if (seen === 2) return socket.close();
      socket.request(request, request.length, Buffer.alloc(8192));
    });
    socket.watch(Buffer.alloc(8192), new Int32Array(1), () => { throw new Error('callback ' + ++seen); }, () => {});
    socket.request(request, request.length, Buffer.alloc(8192));`;
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(child.stdout, 'callback 1\ncallback 2\n', child.stderr);
  assert.equal(child.status, 0);
});

test('a process ends when only unwatched sockets are left', () => {
  const script = `
    import { loadAddon } from ${JSON.stringify(addonUrl)};
    const { NetlinkSocket } = loadAddon();
    globalThis.open = new NetlinkSocket(16, 0);
    globalThis.stopped = new NetlinkSocket(16, 0);
    stopped.watch(Buffer.alloc(8192), new Int32Array(1), () => {}, () => {});
    stopped.unwatch();`;
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(child.status, 0, child.stderr);
});

test('a worker that watches a socket can be ended', async () => {
  const script = `
    import(${JSON.stringify(addonUrl)}).then(({ loadAddon }) => {
      const socket = new (loadAddon().NetlinkSocket)(16, 0);
      socket.watch(Buffer.alloc(8192), new Int32Array(1), () => {}, () => {});
      require('node:worker_threads').parentPort.postMessage('watching');
    });`;
  const worker = new Worker(script, { eval: true });
  assert.deepEqual(await once(worker, 'message'), ['watching']);
  assert.equal(await worker.terminate(), 1);
});

test('an MPTCP socket serves net.Server and net.Socket', async () => {
  const listening = addon.streamSocket(4);
  addon.bindSocket(listening, '127.0.0.1', 0);
  const server = net.createServer((peer) => peer.pipe(peer));
  server.listen({ fd: listening });
  await once(server, 'listening');
  const socket = new net.Socket({ fd: addon.streamSocket(4) });
  socket.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  socket.end('over and back');
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), 'over and back');
  server.close();
});

test('bindSocket refuses what is no address', () => {
  const fd = addon.streamSocket(6, true);
  assert.throws(() => addon.bindSocket(fd, 'localhost', 0), { code: 'EINVAL', syscall: 'bind' });
  assert.throws(() => addon.bindSocket(fd, '::1', 70_000), { code: 'EINVAL' });
  addon.bindSocket(fd, '::1', 0);
  addon.closeFd(fd);
});

test('notify reaches an abstract socket', async () => {
  const name = `smapp-test-${process.pid}`;
  const script =
    'use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); bind(S, pack("S a*", AF_UNIX, "\\0$ARGV[0]")) or die $!;' +
    '$| = 1; print "bound\\n"; recv(S, $text, 100, 0); print $text;';
  const receiver = spawn('perl', ['-e', script, name], { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  receiver.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(receiver.stdout, 'data');
  addon.notify(`@${name}`, 'READY=1', [0]);
  await once(receiver, 'close');
  assert.equal(Buffer.concat(chunks).toString(), 'bound\nREADY=1');
  assert.throws(() => addon.notify(`@${name}`, 'READY=1', []), { code: 'ECONNREFUSED', syscall: 'sendmsg' });
});
