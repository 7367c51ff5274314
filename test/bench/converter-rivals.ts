/** Who else could do the converter's work: each relays an MPTCP port of its own to the server of the test network. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PORT, SERVER, type World } from '../netns/converter.ts';
import { benchProgram } from './converter-programs.ts';

/** Of the server behind plain forwarding, which speaks MPTCP itself. */
export const MPTCP_PORT = PORT + 2;
export const GATE = '10.0.1.1';

export interface Variant {
  readonly name: string;
  /** `ADDRESS:PORT` that the client connects to. */
  readonly to: string;
  /** Only HTTP gets through. */
  readonly http?: boolean;
  /** The process that relays; none for plain forwarding. */
  readonly pid?: number;
}

const THREADS = 2;

/** Starts all of them. */
export function startRivals(world: World): readonly Variant[] {
  const start = (command: string, ...args: (string | number)[]): number =>
    world.gate.start(command, args.map(String), { stdio: ['ignore', 'ignore', 'inherit'] }).pid!;
  const listen = (port: number, command: string, ...args: string[]): number =>
    start(benchProgram('converter-listen'), port, command, ...args);

  const recvsend = start(benchProgram('converter-relay'), 'recvsend', 9110, SERVER, PORT, THREADS);
  const splice = start(benchProgram('converter-relay'), 'splice', 9111, SERVER, PORT, THREADS);
  const uring = start(benchProgram('converter-uring'), 9115, SERVER, PORT, THREADS);
  const haproxyFile = join(world.folder, 'haproxy.cfg');
  writeFileSync(haproxyFile, HAPROXY);
  const haproxy = listen(9112, 'haproxy', '-db', '-f', haproxyFile);
  const pipe = `require('net').createServer({ allowHalfOpen: true, noDelay: true }, (c) => {
    const s = require('net').connect({ port: ${PORT}, host: '${SERVER}', allowHalfOpen: true, noDelay: true });
    c.pipe(s); s.pipe(c); c.on('error', () => s.destroy()); s.on('error', () => c.destroy());
  }).listen({ fd: 3 })`;
  const node = listen(9113, process.execPath, '-e', pipe);
  const squidFile = join(world.folder, 'squid.conf');
  writeFileSync(squidFile, SQUID);
  const squid = start('mptcpize', 'run', 'squid', '-N', '-f', squidFile);
  return [
    { name: 'forward', to: `${SERVER}:${MPTCP_PORT}` },
    { name: 'recvsend', to: `${GATE}:9110`, pid: recvsend },
    { name: 'splice', to: `${GATE}:9111`, pid: splice },
    { name: 'uring', to: `${GATE}:9115`, pid: uring },
    { name: 'haproxy', to: `${GATE}:9112`, pid: haproxy },
    { name: 'node-pipe', to: `${GATE}:9113`, pid: node },
    { name: 'squid', to: `${GATE}:9114`, http: true, pid: squid },
  ];
}

const HAPROXY = `global
  maxconn 4000
  nbthread ${THREADS}
defaults
  mode tcp
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend in
  bind fd@3
  default_backend out
backend out
  server s ${SERVER}:${PORT}
`;

/** One process: its workers share a listener that mptcpize does not turn into MPTCP. */
const SQUID = `http_port 9114
http_access allow all
cache deny all
cache_mem 0 MB
memory_pools off
via off
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
netdb_filename none
pinger_enable off
shutdown_lifetime 1 second
`;
