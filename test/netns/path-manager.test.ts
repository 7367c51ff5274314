/** The path manager's family and sock_diag on this machine's kernel: each event, each command, refusals, lost events. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import net from 'node:net';
import test, { type TestContext } from 'node:test';
import { setTimeout as delay, setImmediate as turnOfEventLoop } from 'node:timers/promises';
import { machineClock } from '../../agent/clock.ts';
import type { Address, Command, Event, Local, Subflow, SubflowEnds, Token } from '../../agent/model.ts';
import { loadAddon } from '../../agent/netlink/addon.ts';
import { decodeEvent, PathManager } from '../../agent/netlink/mptcp-pm.ts';
import { ALIVE, SocketDiag, type SubflowSocket } from '../../agent/netlink/sock-diag.ts';
import { NetlinkError } from '../../agent/netlink/socket.ts';
import { Pinger } from '../../agent/ping/pinger.ts';
import { inOwnNamespace } from './own-namespace.ts';

const addon = loadAddon();

const families = {
  ipv4: { socket: 4, server: '10.0.0.1', client: '10.0.0.2', second: '10.0.0.3', listen: '0.0.0.0' },
  ipv6: { socket: 6, server: 'fd00::1', client: 'fd00::2', second: 'fd00::3', listen: '::' },
  /** IPv4 between dual-stack sockets. */
  mapped: { socket: 6, server: '10.1.0.1', client: '10.1.0.2', second: '10.1.0.3', listen: '::' },
} as const;

function sysctl(name: string, value: number): void {
  execFileSync('sysctl', ['-qw', `net.mptcp.${name}=${value}`]);
}

function prepare(): void {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  sysctl('pm_type', 1);
  for (const ends of Object.values(families)) {
    for (const ip of [ends.server, ends.client, ends.second]) {
      const length = ip.includes(':') ? ['128'] : ['32'];
      execFileSync('ip', [
        'addr',
        'add',
        `${ip}/${length}`,
        'dev',
        'lo',
        ...(ip.includes(':') ? ['nodad'] : []),
      ]);
    }
  }
}

/** Everything heard, in order, and a way to wait for more. */
class Ear {
  readonly events: Event[] = [];
  lost = 0;
  readonly manager = new PathManager(addon);
  readonly subscription;

  constructor(receiveBuffer = 1 << 20, fd?: number) {
    const fail = (error: Error): void => assert.fail(error);
    this.subscription = this.manager.watch(
      receiveBuffer,
      {
        message: (_, view, from, to) => {
          const event = decodeEvent(view, from, to);
          if (event !== undefined) this.events.push(event);
        },
        lost: () => this.lost++,
        malformed: fail,
        failed: fail,
      },
      fd,
    );
  }

  async hear<K extends Event['kind']>(kind: K, token?: Token, after = 0): Promise<Event & { kind: K }> {
    for (let waited = 0; waited < 5000; waited += 5) {
      const found = this.events
        .slice(after)
        .find(
          (event) =>
            event.kind === kind && (token === undefined || ('token' in event && event.token === token)),
        );
      if (found !== undefined) return found as Event & { kind: K };
      await delay(5);
    }
    return assert.fail(`no ${kind} of ${token}: ${JSON.stringify(this.events.slice(after))}`);
  }

  close(): void {
    this.subscription.close();
    this.manager.close();
  }
}

interface Pair {
  readonly client: { readonly token: Token } & SubflowEnds;
  readonly server: { readonly token: Token } & SubflowEnds;
  readonly socket: net.Socket;
}

/** One established connection; everything goes with the test. */
async function connect(
  t: TestContext,
  ear: Ear,
  ends: (typeof families)[keyof typeof families],
): Promise<Pair> {
  const after = ear.events.length;
  const fd = addon.streamSocket(ends.socket);
  addon.bindSocket(fd, ends.listen, 0);
  const peers: net.Socket[] = [];
  const server = net.createServer((peer) => peers.push(peer.on('error', () => {}).resume())).listen({ fd });
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const socket = new net.Socket({ fd: addon.streamSocket(ends.socket) });
  const mapped = ends.socket === 6 && !ends.server.includes(':');
  socket.connect(port, mapped ? `::ffff:${ends.server}` : ends.server);
  t.after(() => {
    socket.destroy();
    for (const peer of peers) peer.destroy();
    server.close();
  });
  await once(socket, 'connect');
  socket.write('data');
  const of = async (side: 'client' | 'server') => {
    for (let from = after; ; from++) {
      const event = await ear.hear('established', undefined, from);
      if (event.side === side) return event;
    }
  };
  return { client: await of('client'), server: await of('server'), socket };
}

const localAt = (ip: string, id: number, ifindex = 0): Local => {
  return { ip, id, ifname: 'lo', ifindex, role: 'primary', metered: false };
};
const asSubflow = (ends: SubflowEnds): Subflow => ends as unknown as Subflow;
const refusal = (call: () => void): NetlinkError => {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof NetlinkError, String(error));
    return error;
  }
  return assert.fail('taken');
};

function defineTests(): void {
  prepare();

  for (const [family, ends] of Object.entries(families)) {
    test(`${family}: open, backup, announce, withdraw, close, down to the last subflow and back`, async (t) => {
      const ear = new Ear();
      t.after(() => ear.close());
      const { client, server } = await connect(t, ear, ends);
      const manager = ear.manager;
      const remote = { ...client.remote, id: 0 };
      const open: Command = { kind: 'open', local: localAt(ends.second, 3), remote, backup: false };

      manager.execute(client.token, open);
      const up = await ear.hear('subflow-up', client.token);
      assert.deepEqual({ ip: up.local.ip, remote: up.remote }, { ip: ends.second, remote: client.remote });
      assert.deepEqual([up.localId, up.remoteId, up.backup], [3, 0, false]);
      const passive = await ear.hear('subflow-up', server.token);
      assert.deepEqual([passive.local, passive.remote, passive.remoteId], [up.remote, up.local, 3]);

      manager.execute(client.token, { kind: 'backup', subflow: asSubflow(up), on: true });
      assert.equal((await ear.hear('priority', server.token)).backup, true);
      const before = ear.events.length;
      manager.execute(client.token, { kind: 'backup', subflow: asSubflow(up), on: false });
      assert.equal((await ear.hear('priority', server.token, before)).backup, false);

      // An IPv6 address with a port has no room beside TCP timestamps: the kernel never sends it.
      const port = family === 'ipv6' ? client.remote.port : 7777;
      const announce: Command = { kind: 'announce', local: localAt(ends.second, 9) };
      manager.execute(server.token, family === 'ipv6' ? announce : { ...announce, port });
      const announced = await ear.hear('remote-up', client.token);
      assert.deepEqual(announced.remote, { ip: ends.second, port, id: 9 });
      manager.execute(server.token, { kind: 'withdraw', local: localAt(ends.second, 9) });
      assert.equal((await ear.hear('remote-down', client.token)).id, 9);

      const initial = ear.events.length;
      manager.execute(client.token, { kind: 'close', subflow: asSubflow(client) });
      const down = await ear.hear('subflow-down', client.token, initial);
      assert.deepEqual([down.local, down.remote], [client.local, client.remote]);
      const last = ear.events.length;
      manager.execute(client.token, { kind: 'close', subflow: asSubflow(up) });
      await ear.hear('subflow-down', client.token, last);
      await ear.hear('subflow-down', server.token, last);
      const again = ear.events.length;
      manager.execute(client.token, open);
      await ear.hear('subflow-up', client.token, again);
      assert.ok(
        !ear.events.some((event) => event.kind === 'closed'),
        'closed while a subflow could come back',
      );
    });

    test(`${family}: what sock_diag shows is what the events told`, async (t) => {
      const ear = new Ear();
      const diag = new SocketDiag(addon);
      t.after(() => {
        ear.close();
        diag.close();
      });
      const { client, server } = await connect(t, ear, ends);
      const remote = { ...client.remote, id: 0 };
      ear.manager.execute(client.token, {
        kind: 'open',
        local: localAt(ends.second, 3),
        remote,
        backup: true,
      });
      const up = await ear.hear('subflow-up', client.token);
      // Linux 6.1 ignores the flag of an `open`; then the peer is not asked for it either.
      const asBackup = (await ear.hear('subflow-up', server.token)).backup;

      const found: SubflowSocket[] = [];
      for await (const chunk of diag.subflowChunks(ALIVE)) found.push(...chunk);
      const ours = found.filter(({ token }) => token === client.token);
      const endsOf = ({ local, remote, localId, remoteId }: SubflowEnds) => ({
        local,
        remote,
        localId,
        remoteId,
      });
      const byId = (a: { localId: number }, b: { localId: number }): number => a.localId - b.localId;
      assert.deepEqual(ours.map((one) => endsOf({ ...one })).sort(byId), [client, up].map(endsOf).sort(byId));
      assert.deepEqual(ours.map((one) => [one.localId, one.backup]).sort(), [
        [0, false],
        [3, asBackup],
      ]);
      assert.deepEqual(
        [...diag.subflows(ALIVE, 5)].map(({ token }) => token).sort(),
        found.map(({ token }) => token).sort(),
      );
      const initial = found.filter((one) => one.initial);
      const connected = (token: Token): boolean | undefined =>
        initial.find((one) => one.token === token)?.connected;
      assert.deepEqual([connected(client.token), connected(server.token)], [true, false]);

      const stats = diag.stats(client.local, client.remote, 7)!;
      assert.deepEqual([stats.at, stats.state, stats.bytesSent], [7, 'established', 4]);
      const connection = diag.connection(client.token, 7)!;
      assert.deepEqual([connection.local, connection.remote], [client.local, client.remote]);
      assert.equal(connection.stats.subflows, 2);
      const listed: Token[] = [];
      for await (const chunk of diag.connectionChunks(() => 5))
        listed.push(...chunk.map(({ token }) => token));
      assert.deepEqual(listed.sort(), [client.token, server.token].sort());

      const nowhere: Address = { ...client.local, port: 1 };
      assert.equal(diag.stats(nowhere, client.remote, 7), undefined);
      // The kernel finds the listener by these ends.
      assert.equal(diag.stats(client.remote, nowhere, 7), undefined);
      assert.equal(diag.connection((client.token ^ 1) >>> 0, 7), undefined);
    });

    test(`${family}: a subflow that is refused goes down with the reason`, async (t) => {
      const ear = new Ear();
      t.after(() => ear.close());
      const { client } = await connect(t, ear, ends);
      const remote = { ...client.remote, port: 1, id: 0 };
      ear.manager.execute(client.token, {
        kind: 'open',
        local: localAt(ends.second, 3),
        remote,
        backup: false,
      });
      const down = await ear.hear('subflow-down', client.token);
      assert.deepEqual([down.errno, down.remote, down.localId], [111, { ...client.remote, port: 1 }, 3]);
    });
  }

  test('listeners are told of, and connections end with one closed for each side', async (t) => {
    const ear = new Ear();
    t.after(() => ear.close());
    const { client, server, socket } = await connect(t, ear, families.ipv4);
    // Linux 6.1 tells nothing of listeners.
    const [first] = ear.events;
    const port = client.remote.port;
    if (first?.kind === 'listener-up') assert.deepEqual(first.local, { ip: '0.0.0.0', port });
    else assert.equal(first?.kind, 'created');
    socket.destroy();
    await ear.hear('closed', client.token);
    await ear.hear('closed', server.token);
    assert.ok(!ear.events.some((event) => event.kind === 'subflow-down'));
  });

  for (const [family, ends] of Object.entries(families)) {
    test(`${family}: subflows from ports of our choice, of one address too`, async (t) => {
      const ear = new Ear();
      t.after(() => ear.close());
      const { client } = await connect(t, ear, ends);
      const remote = { ...client.remote, id: 0 };
      const local = localAt(ends.second, 3);
      for (const localPort of [0, 41_001, 41_002]) {
        const before = ear.events.length;
        ear.manager.execute(client.token, { kind: 'open', local, remote, backup: false, localPort });
        const up = await ear.hear('subflow-up', client.token, before);
        assert.equal(up.local.ip, ends.second);
        if (localPort) assert.equal(up.local.port, localPort);
      }
    });

    test(`${family}: a ping is answered, and opens nothing`, async (t) => {
      const ear = new Ear();
      t.after(() => ear.close());
      const { client } = await connect(t, ear, ends);
      const heard: Event[] = [];
      const pinger = new Pinger(addon, machineClock, (event) => heard.push(event));
      t.after(() => pinger.close());
      const remote = { ...client.remote, id: 0 };
      const before = ear.events.length;
      const ports = [41_003, 41_004];
      const ping = { kind: 'ping', local: localAt(ends.second, 3), remote, ports } as const;
      assert.equal(pinger.send(client.token, ping), undefined);
      while (heard.length < ports.length) await delay(5);
      const local = ports.map((port) => ({ ip: ends.second, port }));
      assert.deepEqual(
        heard.map(
          (event) => event.kind === 'pong' && { ...event, took: event.took >= 0 && event.took < 1000 },
        ),
        local.map((one) => ({
          kind: 'pong',
          token: client.token,
          local: one,
          remote: client.remote,
          took: true,
        })),
      );
      assert.deepEqual(ear.events.slice(before), []);
    });
  }

  test('refusals carry errno, the kernel’s words and the operation', async (t) => {
    const ear = new Ear();
    t.after(() => ear.close());
    const { client } = await connect(t, ear, families.ipv4);
    const remote = { ...client.remote, id: 0 };
    const open = { kind: 'open', local: localAt(families.ipv4.second, 3), remote, backup: false } as const;
    const taken = net.createServer().listen(0, families.ipv4.second);
    await once(taken, 'listening');
    t.after(() => taken.close());
    const { port } = taken.address() as net.AddressInfo;
    const inUse = refusal(() => ear.manager.execute(client.token, { ...open, localPort: port }));
    assert.deepEqual([inUse.code, inUse.errno, inUse.operation], ['EADDRINUSE', 98, 'open']);
    const unknown = refusal(() => ear.manager.execute((client.token ^ 1) >>> 0, open));
    assert.deepEqual([unknown.code, unknown.kernelMessage], ['EINVAL', 'invalid token']);
    assert.match(unknown.message, /^open: invalid argument \(EINVAL\): invalid token$/);
    const gone = refusal(() =>
      ear.manager.execute(client.token, {
        kind: 'close',
        subflow: asSubflow({ ...client, local: { ...client.local, port: 9 } }),
      }),
    );
    assert.equal(gone.code, 'ESRCH');
  });

  test('connections of the in-kernel path manager are seen, and known not to take commands', async (t) => {
    const ear = new Ear();
    t.after(() => {
      sysctl('pm_type', 1);
      ear.close();
    });
    const userspace = await connect(t, ear, families.ipv4);
    sysctl('pm_type', 0);
    const kernel = await connect(t, ear, families.ipv4);
    assert.deepEqual(
      [userspace.client.token, kernel.client.token, (kernel.client.token ^ 1) >>> 0].map((token) =>
        ear.manager.commandable(token),
      ),
      [true, false, false],
    );
  });

  test('a subflow can be bound to an interface', async (t) => {
    // Linux before 6.13 ignores the interface.
    if (!existsSync('/proc/sys/net/mptcp/path_manager')) return t.skip('kernel too old');
    const ear = new Ear();
    t.after(() => ear.close());
    const { client } = await connect(t, ear, families.ipv4);
    const remote = { ...client.remote, id: 0 };
    const local = localAt(families.ipv4.second, 3, 1);
    ear.manager.execute(client.token, { kind: 'open', local, remote, backup: false });
    assert.equal((await ear.hear('subflow-up', client.token)).ifindex, 1);
  });

  test('lost events are told of, later ones arrive, and a dump has what was lost', async (t) => {
    const ear = new Ear(2304);
    const diag = new SocketDiag(addon);
    t.after(() => {
      ear.close();
      diag.close();
    });
    const { client } = await connect(t, ear, families.ipv4);
    const remote = { ...client.remote, id: 0 };
    const open: Command = { kind: 'open', local: localAt(families.ipv4.second, 3), remote, backup: false };
    // Without a turn of the event loop nobody reads meanwhile.
    for (let i = 0; i < 30; i++) ear.manager.execute(client.token, open);
    await turnOfEventLoop();
    for (let i = 0; i < 200 && ear.lost === 0; i++) await delay(5);
    assert.ok(ear.lost > 0, 'nothing was lost');
    await delay(50);
    const heard = ear.events.filter(
      (event) => event.kind === 'subflow-up' && event.token === client.token,
    ).length;
    assert.ok(heard < 30, 'all were heard');
    const found = [...diag.subflows(['established'], 0)].filter(({ token }) => token === client.token);
    assert.equal(found.length, 31);
    const after = ear.events.length;
    ear.manager.execute(client.token, { kind: 'close', subflow: asSubflow({ ...found[0]! }) });
    await ear.hear('subflow-down', client.token, after);
  });

  test('a subscription taken over by its file descriptor has what came meanwhile', async (t) => {
    const first = new Ear();
    const later = spawn(process.execPath, ['--input-type=module', '--eval', HEIR], {
      stdio: ['pipe', 'pipe', 'inherit', first.subscription.fd],
    });
    first.close();
    const ear = new Ear();
    t.after(() => ear.close());
    const { client } = await connect(t, ear, families.ipv4);
    later.stdin!.end();
    const heard: Buffer[] = [];
    for await (const chunk of later.stdout!) heard.push(chunk as Buffer);
    const lines = Buffer.concat(heard).toString().trimEnd().split('\n');
    assert.ok(lines.includes(`established ${client.token}`), lines.join());
    assert.deepEqual(lines.length, ear.events.length);
  });
}

/** A program that is born with a subscription as fd 3, and reads it only when its input ends. */
const HEIR = `
  import { loadAddon } from '${new URL('../../agent/netlink/addon.js', import.meta.url)}';
  import { decodeEvent, PathManager } from '${new URL('../../agent/netlink/mptcp-pm.js', import.meta.url)}';
  process.stdin.resume().on('end', () => {
    const subscription = new PathManager(loadAddon()).watch(0, {
      message(_, view, from, to) {
        const { kind, token } = decodeEvent(view, from, to);
        console.log(kind, token);
      },
    }, 3);
    setTimeout(() => subscription.close(), 200);
  });`;

if (inOwnNamespace(import.meta.url)) defineTests();
