/**
 * One end of MPTCP connections, for tests that need sockets inside a namespace:
 *   node mptcp-peer.js listen IP              prints the port
 *   node mptcp-peer.js connect IP PORT [N]    makes N connections, and prints the local port of each
 * Reads all that it gets. A line "BYTES [STEP]" on its standard input sends so many bytes to every peer,
 * to each STEP milliseconds after the one before.
 */
import net from 'node:net';
import { createInterface } from 'node:readline';
import { loadAddon } from '../../agent/netlink/addon.ts';

const [role, ip, port, count = '1'] = process.argv.slice(2) as [
  'listen' | 'connect',
  string,
  string,
  string?,
];
const addon = loadAddon();
const family = net.isIPv6(ip) ? 6 : 4;
const peers = new Set<net.Socket>();

function add(socket: net.Socket): void {
  peers.add(socket.resume().on('error', () => socket.destroy()));
}

if (role === 'listen') {
  const fd = addon.streamSocket(family);
  addon.bindSocket(fd, ip, 0);
  const server = net.createServer(add);
  server.listen({ fd }, () => console.log((server.address() as net.AddressInfo).port));
} else {
  for (let made = 0; made < Number(count); made++) {
    const socket = new net.Socket({ fd: addon.streamSocket(family), readable: true, writable: true });
    add(socket);
    socket.connect({ host: ip, port: Number(port) }, () => console.log(socket.localPort));
  }
}
createInterface(process.stdin).on('line', (line) => {
  const [bytes, step = 0] = line.split(' ').map(Number);
  for (const [i, peer] of [...peers].entries()) setTimeout(() => peer.write(Buffer.alloc(bytes!)), i * step);
});
