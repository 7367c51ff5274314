/**
 * Run in a guest, as one process to be quick there: makes one MPTCP connection before the RTO source and one
 * after, over loopback; then drops their packets and prints the source, for each the first two timeouts, and
 * whether the process that made the younger one is known to be this one, and after what silence it sent again.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadBpf } from '../../agent/bpf/addon.ts';
import { openIdentities } from '../../agent/bpf/identities.ts';
import { openRtoEvents } from '../../agent/bpf/rto-events.ts';
import { loadAddon } from '../../agent/netlink/addon.ts';

/** More than an RTO: less is no silence to the kernel. */
const SILENCE = 1000;
const addon = loadAddon();
const listener = addon.streamSocket(4);
addon.bindSocket(listener, '127.0.0.1', 0);
const server = net.createServer((socket) => socket.resume());
server.listen({ fd: listener });
await once(server, 'listening');
const { port } = server.address() as net.AddressInfo;

async function connect(): Promise<net.Socket> {
  const socket = new net.Socket({ fd: addon.streamSocket(4), readable: true, writable: true });
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

const older = await connect();
const source = openRtoEvents(loadBpf(), { silence: SILENCE });
const identities = openIdentities(loadBpf());
const younger = await connect();
const seen = new Map([older, younger].map((socket) => [socket.localPort, [] as number[]]));
let known = false;
let resumed: number | undefined;
source.watch((event) => {
  if (event.kind === 'resumed') {
    resumed = event.silence;
    return;
  }
  const { token, local, rto } = event;
  seen.get(local.port)?.push(rto);
  if (local.port === younger.localPort) known = identities.identityOf(token)?.pid === process.pid;
  const timeouts = [...seen.values()];
  if (timeouts.some(({ length }) => length < 2)) return;
  const [olderRtos, youngerRtos] = timeouts.map((rtos) => rtos.slice(0, 2));
  console.log(
    JSON.stringify({ mode: source.mode, reason: source.reason, olderRtos, youngerRtos, known, resumed }),
  );
  process.exit();
});
// Where they arrive: what the sender's own host refuses is probed for, and is no timeout.
const drop = `table ip smoke {
  chain arriving {
    type filter hook input priority 0
    tcp dport ${port} drop
  }
}`;
younger.write('heard');
await sleep(SILENCE + 100);
execFileSync('nft', [drop]);
for (const socket of [older, younger]) socket.write('lost');
