/**
 * Byte-exact MPTCP traffic for tests, the demo and the lab: run inside a namespace with `node traffic.js`.
 *
 *   traffic.js serve IP PORT                 prints "ready"; answers each connection with what it received:
 *                                            its length and SHA-256, once the client has sent all
 *   traffic.js send IP PORT [--connections N] [--bytes B] [--rate BYTES_PER_SECOND]
 *                                            each connection sends B bytes of its own; prints one JSON object
 *                                            { completed, intact, failed, ms, errors } and exits 1 unless all are intact
 *
 * `--tcp` makes plain TCP sockets.
 */
import { createHash } from 'node:crypto';
import { createServer, Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { loadAddon } from '../../agent/netlink/addon.ts';

const TICK = 20;
const CHUNK = 64 << 10;
/** What is sent, but for the first eight bytes of each repetition. */
const BLOCK = Buffer.from(Array.from({ length: 4096 }, (_, at) => ((at * 2654435761) >>> 13) & 255));

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    connections: { type: 'string', default: '1' },
    bytes: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '0' },
    tcp: { type: 'boolean', default: false },
  },
});
const [mode, ip = '', port = ''] = positionals;
const addon = loadAddon();
const family = ip.includes(':') ? 6 : 4;

if (mode === 'serve') serve();
else if (mode === 'send') await send(Number(values.connections), Number(values.bytes), Number(values.rate));
else throw new Error('traffic: serve IP PORT, or send IP PORT');

function serve(): void {
  const fd = addon.streamSocket(family, values.tcp);
  addon.bindSocket(fd, ip, Number(port));
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha256');
    let received = 0;
    socket.on('data', (data) => {
      hash.update(data);
      received += data.length;
    });
    socket.on('end', () => socket.end(`${received} ${hash.digest('hex')}`));
    socket.on('error', () => socket.destroy());
  });
  server.listen({ fd, backlog: 1024 }, () => console.log('ready'));
}

async function send(connections: number, bytes: number, rate: number): Promise<void> {
  const start = performance.now();
  const errors: string[] = [];
  const intact = await Promise.all(
    Array.from({ length: connections }, (_, index) =>
      transfer(index, bytes, rate).catch((error: Error) => {
        errors.push(error.message);
        return false;
      }),
    ),
  );
  const good = intact.filter(Boolean).length;
  const result = {
    completed: connections - errors.length,
    intact: good,
    failed: errors.length,
    ms: Math.round(performance.now() - start),
    errors: errors.slice(0, 3),
  };
  console.log(JSON.stringify(result));
  process.exitCode = good === connections ? 0 : 1;
}

/** Sends at most `rate` bytes a second (0: as fast as it goes); true when the peer received just that. */
function transfer(seed: number, bytes: number, rate: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = new Socket({
      fd: addon.streamSocket(family, values.tcp),
      manualStart: true,
      allowHalfOpen: true,
    } as object);
    const hash = createHash('sha256');
    let sent = 0;
    let answer = '';

    function push(allowance: number): void {
      while (allowance > 0 && sent < bytes) {
        const chunk = content(seed, sent, Math.min(CHUNK, bytes - sent, allowance));
        hash.update(chunk);
        sent += chunk.length;
        allowance -= chunk.length;
        if (!socket.write(chunk)) return;
      }
      if (sent === bytes) {
        sent += 1; // ends once
        socket.end();
      }
    }

    socket.connect(Number(port), ip, () => {
      if (rate === 0) {
        socket.on('drain', () => push(Number.POSITIVE_INFINITY));
        push(Number.POSITIVE_INFINITY);
        return;
      }
      const timer = setInterval(() => {
        if (sent >= bytes) clearInterval(timer);
        if (socket.writableLength < CHUNK) push(Math.ceil((rate * TICK) / 1000));
      }, TICK);
      socket.once('close', () => clearInterval(timer));
    });
    socket.on('data', (data) => {
      answer += data;
    });
    socket.on('end', () => resolve(answer === `${bytes} ${hash.digest('hex')}`));
    socket.on('error', reject);
  });
}

/** Bytes that tell their connection and place, so that a mix-up cannot go unnoticed. */
function content(seed: number, from: number, length: number): Buffer {
  const skipped = from % BLOCK.length;
  const blocks = Math.ceil((skipped + length) / BLOCK.length);
  const whole = Buffer.allocUnsafe(blocks * BLOCK.length);
  for (let at = 0; at < whole.length; at += BLOCK.length) {
    BLOCK.copy(whole, at);
    whole.writeUInt32LE(seed, at);
    whole.writeUInt32LE((from - skipped + at) / BLOCK.length, at + 4);
  }
  return whole.subarray(skipped, skipped + length);
}
