/**
 * The two ends of the demo's transfer: each a process of its own in its namespace, that reports by IPC.
 *   transfer.js receive PORT BYTES
 *   transfer.js send IP PORT BYTES
 * The bytes are a keystream, so that both ends can hash them and nobody needs a file. The receiver answers
 * with its hash, as a server that took an upload would.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { type Addon, loadAddon } from '../../agent/netlink/addon.ts';

export type Report =
  | { readonly kind: 'listening' }
  /** So many bytes have come so far. `at` is milliseconds since 1970. */
  | { readonly kind: 'received'; readonly at: number; readonly bytes: number }
  /** The sender has the receiver's hash. */
  | { readonly kind: 'done'; readonly sha256Ok: boolean };

const CHUNK = 64 * 1024;
/** Reports of progress come at most so often, in milliseconds. */
const EVERY = 20;

function report(message: Report): void {
  process.send?.(message);
}

function receive(addon: typeof Addon, port: number, size: number): void {
  const fd = addon.streamSocket(4);
  addon.bindSocket(fd, '0.0.0.0', port);
  // Listens to the end: without a listener the kernel refuses further subflows.
  const server = createServer((socket) => {
    const hash = createHash('sha256');
    let bytes = 0;
    let told = 0;
    socket.on('data', (data) => {
      hash.update(data);
      bytes += data.length;
      const at = Date.now();
      if (at - told < EVERY && bytes < size) return;
      told = at;
      report({ kind: 'received', at, bytes });
      // The sender closes: a server that half-closes now may leave the kernel with its answer on a dying subflow.
      if (bytes >= size) socket.write(hash.digest('hex'));
    });
    socket.on('error', (error) => console.error(`receive: ${error.message}`));
    socket.on('close', () => server.close(() => process.disconnect()));
  });
  server.listen({ fd }, () => report({ kind: 'listening' }));
}

async function send(addon: typeof Addon, ip: string, port: number, size: number): Promise<void> {
  const socket = new Socket({ fd: addon.streamSocket(4) });
  socket.connect(port, ip);
  const hash = createHash('sha256');
  const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
  for (let left = size; left > 0; left -= CHUNK) {
    const chunk = stream.update(Buffer.alloc(Math.min(CHUNK, left)));
    hash.update(chunk);
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  const sha256 = hash.digest('hex');
  let answer = '';
  for await (const data of socket) {
    answer += data;
    if (answer.length >= sha256.length) break;
  }
  socket.destroy();
  report({ kind: 'done', sha256Ok: answer === sha256 });
  process.disconnect();
}

const [role, ...args] = process.argv.slice(2);
if (role === 'receive') receive(loadAddon(), Number(args[0]), Number(args[1]));
else await send(loadAddon(), args[0]!, Number(args[1]), Number(args[2]));
