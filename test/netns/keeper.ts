/**
 * A small service for the tests of systemd.ts: keeps a socket in the file descriptor store. Prints what it
 * was given at its start, and beats the watchdog.
 */
import { createServer } from 'node:net';
import { loadAddon } from '../../agent/netlink/addon.ts';
import { inheritedFds, serviceManager } from '../../agent/systemd.ts';

const addon = loadAddon();
const manager = serviceManager(process.env, process.pid, addon, process.hrtime.bigint)!;
const kept = inheritedFds(process.env, process.pid, addon).get('listener')?.[0];

let fd = kept;
if (fd === undefined) {
  fd = addon.streamSocket(4, true);
  addon.bindSocket(fd, '127.0.0.1', 0);
}
const server = createServer((socket) => socket.end(`${process.pid}\n`));
server.listen({ fd }, () => {
  const { port } = server.address() as { port: number };
  if (kept === undefined) manager.keep('listener', fd);
  manager.ready(`listening on ${port}\n${kept === undefined ? 'new' : 'kept'}`);
});
if (manager.watchdog !== undefined) setInterval(() => manager.beat(), manager.watchdog / 2);
process.once('SIGHUP', () => {
  manager.reloading();
  manager.ready('reloaded');
});
process.once('SIGTERM', () => {
  manager.stopping();
  manager.forget('listener');
  process.exit(0);
});
