/**
 * Writes down what the running kernel really says, for the codecs' tests. Needs root, and makes changes, so:
 *   unshare --net node dist/test/captures/capture.js test/captures/6.18
 *   node dist/test/vm/main.js --kernel 6.12 --out $PWD/test/captures/6.12 -- node dist/test/captures/capture.js $PWD/test/captures/6.12
 *
 * A file holds a message a line: a name, then its bytes from struct nlmsghdr on. Addresses and ports are the
 * same in every run; tokens, sequence numbers and times are not.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Event, Local, Subflow, SubflowEnds } from '../../agent/model.ts';
import { type Addon, loadAddon } from '../../agent/netlink/addon.ts';
import { decodeEvent, type PathCommand, PathManager } from '../../agent/netlink/mptcp-pm.ts';
import { SocketDiag } from '../../agent/netlink/sock-diag.ts';
import { Channel, NETLINK_ROUTE } from '../../agent/netlink/socket.ts';
import { type Ends, FAMILIES, PORTS } from './scenario.ts';

const directory = process.argv[2];
if (directory === undefined) throw new Error('usage: capture DIRECTORY');
mkdirSync(directory, { recursive: true });

/** Answers and requests of one kind, by name, until they are written. */
class Recording {
  readonly #lines: string[] = [];

  add(name: string, bytes: Uint8Array): void {
    this.#lines.push(`${name} ${Buffer.from(bytes).toString('hex')}\n`);
  }

  write(file: string): void {
    writeFileSync(join(directory!, `${file}.hex`), this.#lines.join(''));
  }
}

/** The addon, with every request and answer of its sockets going into a recording, under the name of the moment. */
class Tap {
  name = '';
  requests = new Recording();
  answers = new Recording();

  wrap(addon: typeof Addon): typeof Addon {
    const tap = this;
    class NetlinkSocket extends addon.NetlinkSocket {
      override request(message: Uint8Array, length: number, reply: Uint8Array): number {
        if (tap.name !== '') tap.requests.add(tap.name, message.subarray(0, length));
        const received = super.request(message, length, reply);
        if (tap.name !== '') tap.answers.add(tap.name, reply.subarray(0, received));
        return received;
      }
    }
    return { ...addon, NetlinkSocket };
  }
}

const addon = loadAddon();
const run = (command: string): unknown => execFileSync('sh', ['-ec', command], { stdio: 'pipe' });

function prepareHost(): void {
  run(
    'ip link set lo up; sysctl -qw net.mptcp.enabled=1 net.mptcp.pm_type=1 || sysctl -qw net.mptcp.path_manager=userspace',
  );
  for (const ends of Object.values(FAMILIES)) {
    for (const ip of [ends.server, ends.client, ends.second, ends.announced]) {
      run(`ip addr replace ${ip}/${ip.includes(':') ? '128 nodad' : '32'} dev lo`);
    }
  }
}

/** One connection's life, every event and command in it. */
async function captureFamily(family: string, ends: Ends): Promise<void> {
  const events = new Recording();
  const seen: Event[] = [];
  const tap = new Tap();
  const manager = new PathManager(tap.wrap(addon));
  const diag = new SocketDiag(tap.wrap(addon));
  const subscription = manager.watch(1 << 20, {
    message(_, view, from, to) {
      const event = decodeEvent(view, from, to);
      if (event === undefined) return;
      seen.push(event);
      events.add(nameOf(event), new Uint8Array(view.buffer, view.byteOffset + from - 16, to - from + 16));
    },
    lost: () => assertNever('lost'),
    malformed: assertNever,
    failed: assertNever,
  });

  const listening = addon.streamSocket(ends.socket);
  addon.bindSocket(listening, ends.socket === 6 ? '::' : '0.0.0.0', PORTS.server);
  const accepted: net.Socket[] = [];
  const server = net.createServer((peer) => accepted.push(peer.resume()));
  server.listen({ fd: listening });
  await once(server, 'listening');

  const fd = addon.streamSocket(ends.socket);
  addon.bindSocket(fd, ends.bind, PORTS.client);
  const client = new net.Socket({ fd });
  client.connect(PORTS.server, ends.connect);
  await once(client, 'connect');
  client.write('data');
  await until(() => seen.some((event) => event.kind === 'established' && event.side === 'client'));
  const ours = established(seen, 'client');
  const theirs = established(seen, 'server');

  const execute = (name: string, token: number, command: PathCommand): void => {
    tap.name = name;
    manager.execute(token, command);
    tap.name = '';
  };
  const count = (kind: Event['kind']): number => seen.filter((event) => event.kind === kind).length;

  const local: Local = { ip: ends.second, id: 3, ifname: 'lo', ifindex: 0, role: 'backup', metered: false };
  const remote = { ...ours.remote, id: 0 };
  execute('open', ours.token, { kind: 'open', local, remote, backup: false, localPort: PORTS.second });
  await until(() => count('subflow-up') === 2);
  const opened = seen.find((event) => event.kind === 'subflow-up' && event.token === ours.token)!;
  const subflow = opened as unknown as Subflow;
  execute('backup', ours.token, { kind: 'backup', subflow, on: true });
  await until(() => count('priority') >= 1);

  tap.name = 'subflow';
  if (diag.stats(ours.local, ours.remote, 0) === undefined) assertNever('no such subflow');
  tap.name = 'connection';
  if (diag.connection(ours.token, 0) === undefined) assertNever('no such connection');
  tap.name = 'subflows';
  if ([...diag.subflows(['established'], 0)].length !== 4) assertNever('not four subflows');
  tap.name = '';

  const announced: Local = { ...local, ip: ends.announced, id: 4 };
  execute('announce', theirs.token, { kind: 'announce', local: announced });
  await until(() => count('remote-up') === 1);
  execute('withdraw', theirs.token, { kind: 'withdraw', local: announced });
  await until(() => count('remote-down') === 1);
  execute('close', ours.token, { kind: 'close', subflow });
  await until(() => count('subflow-down') === 2);

  const refused = { ...remote, port: PORTS.nobody };
  execute('open-refused', ours.token, { kind: 'open', local, remote: refused, backup: true });
  await until(() => count('subflow-down') === 3);
  try {
    execute('unknown-token', (ours.token ^ 1) >>> 0, { kind: 'open', local, remote, backup: false });
  } catch {
    // Recorded.
  }
  tap.name = '';

  client.destroy();
  for (const peer of accepted) peer.destroy();
  server.close();
  await until(() => count('closed') === 2);
  await delay(100);
  subscription.close();
  events.write(`events-${family}`);
  tap.requests.write(`requests-${family}`);
  tap.answers.write(`answers-${family}`);
}

function established(seen: readonly Event[], side: 'client' | 'server'): SubflowEnds & { token: number } {
  return seen.find((event) => event.kind === 'established' && event.side === side) as SubflowEnds & {
    token: number;
  };
}

/** `KIND-SIDE`, the side told by the ports. */
function nameOf(event: Event): string {
  if (!('localId' in event)) return event.kind;
  return `${event.kind}-${event.local.port === PORTS.server ? 'server' : 'client'}`;
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited too long for ${condition}`);
    await delay(5);
  }
}

function assertNever(what: unknown): never {
  throw new Error(String(what));
}

/** Interfaces, addresses, routes and rules, as dumps. */
function captureHost(): void {
  run(`ip link add name path0 type veth peer name path1; ip link set path1 up; ip link set path0 up
    ip addr add 10.2.0.1/24 dev path0; ip addr add fd02::1/64 dev path0 nodad
    ip route add default via 10.2.0.2 dev path0 metric 100; ip -6 route add default via fd02::2 dev path0 metric 100
    ip route add 10.3.0.0/16 via 10.2.0.3 dev path0 table 1000 protocol 99 mtu 1400
    ip route add 10.4.0.0/16 nexthop via 10.2.0.2 dev path0 nexthop via 10.2.0.3 dev path0
    ip rule add from 10.2.0.1 lookup 1000 pref 500 protocol 99; ip -6 rule add from fd02::1 lookup 1000 pref 500 protocol 99`);
  const channel = new Channel(addon, NETLINK_ROUTE);
  for (const [file, type, family, length] of DUMPS) {
    const recording = new Recording();
    const messages = channel.dump(file, type, (out) => out.view.setUint8(out.reserve(length), family));
    for (const message of messages) {
      recording.add(
        file,
        new Uint8Array(message.view.buffer, message.from - 16, message.to - message.from + 16),
      );
    }
    recording.write(file);
  }
}

const DUMPS = [
  ['links', 18, 0, 16],
  ['addresses', 22, 0, 8],
  ['routes-ipv4', 26, 2, 12],
  ['routes-ipv6', 26, 10, 12],
  ['rules-ipv4', 34, 2, 12],
  ['rules-ipv6', 34, 10, 12],
] as const;

prepareHost();
for (const [family, ends] of Object.entries(FAMILIES)) await captureFamily(family, ends);
captureHost();
