/**
 * The control socket: JSON-RPC 2.0, a line a message, on a unix socket. Everything a client can make grow
 * is bounded: its line, its answers not read yet (then we stop reading from it), its notices not read yet
 * (then they are dropped and counted), and the number of clients.
 */
import { chmodSync, chownSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Daemon } from './daemon.ts';
import { lineReader } from './lines.ts';
import { type Caller, compileMethods, dispatcher } from './methods.ts';
import { answer, CODE, type Dispatch, failure, notification, RpcError } from './rpc.ts';

const MAX_CLIENTS = 64;
const MAX_LINE = 256 << 10;
/** Unread bytes above which a client's notices are dropped, and its requests wait. */
const MAX_UNREAD = 256 << 10;

export interface Peer {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface ControlOptions {
  readonly path: string;
  /** Group that may read; undefined leaves the socket to the daemon's own user (and root). */
  readonly gid: number | undefined;
  /** SO_PEERCRED of a connected unix socket. */
  readonly peerCredentials: (fd: number) => Peer;
}

export interface ControlServer {
  readonly clients: number;
  /** Clients that subscribed to something. */
  readonly streams: number;
  /** Notices dropped, over all clients, because they read too slowly. */
  readonly dropped: number;
  close(): Promise<void>;
}

/** Takes the socket's path and serves. Throws with a remedy when another daemon holds it. */
export async function serveControl(daemon: Daemon, options: ControlOptions): Promise<ControlServer> {
  const { path } = options;
  const clients = new Set<Client>();
  const methods = compileMethods();
  let dropped = 0;

  const server = createServer((socket) => {
    if (clients.size >= MAX_CLIENTS) {
      const remedy = `close some: at most ${MAX_CLIENTS} clients are served at once`;
      socket.end(`${failure(null, new RpcError(CODE.busy, 'too many clients', remedy))}\n`);
      socket.on('error', () => socket.destroy());
      return;
    }
    const { uid } = options.peerCredentials(descriptor(socket));
    const client = new Client(
      socket,
      (caller) => dispatcher(methods, daemon, caller, () => uid === 0 || daemon.mayChange(uid)),
      () => {
        dropped += 1;
      },
    );
    clients.add(client);
    socket.once('close', () => clients.delete(client));
  });

  mkdirSync(dirname(path), { recursive: true });
  await takePath(server, path, options.peerCredentials);
  // Until here only our own user can connect: the umask leaves no write permission to others.
  if (options.gid !== undefined) {
    if (lstatSync(path).gid !== options.gid) chownSync(path, -1, options.gid);
    chmodSync(path, 0o660);
  } else {
    chmodSync(path, 0o600);
  }
  const { ino } = lstatSync(path);

  return {
    get clients() {
      return clients.size;
    },
    get streams() {
      return [...clients].filter((client) => client.streaming).length;
    },
    get dropped() {
      return dropped;
    },
    close: () =>
      new Promise((done) => {
        // libuv removes the path at close, whoever owns it by then.
        const ours = lstatSync(path, { throwIfNoEntry: false })?.ino === ino;
        if (ours) server.close(() => done());
        else {
          server.unref();
          done();
        }
        for (const client of clients) client.end();
      }),
  };
}

/** Throws when another daemon serves `path`: to be asked before anything on the host is changed. */
export async function refuseIfServed(path: string, credentials: (fd: number) => Peer): Promise<void> {
  const holder = await holderOf(path, credentials);
  if (holder === undefined) return;
  throw new Error(
    `another smappd (pid ${holder.pid}) serves ${path}: stop it first (systemctl stop smappd), or give another --control PATH`,
  );
}

async function takePath(server: Server, path: string, credentials: (fd: number) => Peer): Promise<void> {
  try {
    await listen(server, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    const before = lstatSync(path, { throwIfNoEntry: false });
    if (before !== undefined && !before.isSocket()) {
      throw new Error(`${path} is in the way and no socket: remove it, or give another --control PATH`);
    }
    await refuseIfServed(path, credentials);
    // Left behind by a daemon that was killed. Someone may have taken it since we asked.
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === before?.ino) unlinkSync(path);
    await listen(server, path);
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(path, () => {
      server.off('error', fail);
      done();
    });
  });
}

/** Who answers at `path`, or undefined when nobody does. */
function holderOf(path: string, credentials: (fd: number) => Peer): Promise<Peer | undefined> {
  return new Promise((done, fail) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      done(credentials(descriptor(probe)));
      probe.destroy();
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') done(undefined);
      else fail(error);
    });
  });
}

/** Node keeps it in the libuv handle, and has no public way to it. */
function descriptor(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd;
}

class Client implements Caller {
  readonly #socket: Socket;
  readonly #countDropped: () => void;
  #stop: (() => void) | undefined;
  #missed = 0;
  /** Requests are answered in the order they came in. */
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(socket: Socket, dispatcherFor: (caller: Caller) => Dispatch, countDropped: () => void) {
    this.#socket = socket;
    this.#countDropped = countDropped;
    const dispatch = dispatcherFor(this);
    const read = lineReader(
      MAX_LINE,
      (line) => {
        this.#waiting += line.length;
        this.#turn = this.#turn.then(async () => {
          const text = await answer(line, dispatch);
          this.#waiting -= line.length;
          if (text !== undefined) this.#send(text);
          this.#balance();
        });
        this.#balance();
      },
      () => {
        const remedy = `send at most ${MAX_LINE} bytes a line`;
        socket.end(`${failure(null, new RpcError(CODE.invalidRequest, 'line too long', remedy))}\n`);
      },
    );
    socket.on('data', read);
    socket.on('drain', () => {
      if (this.#missed > 0) {
        this.#send(notification('dropped', { count: this.#missed }));
        this.#missed = 0;
      }
      this.#balance();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.endStream());
  }

  stream(start: Parameters<Caller['stream']>[0]): boolean {
    if (this.#stop !== undefined) return false;
    this.#stop = start((method, params, must = false) => {
      if (must || (this.#missed === 0 && this.#socket.writableLength <= MAX_UNREAD)) {
        this.#send(notification(method, params));
      } else {
        this.#missed += 1;
        this.#countDropped();
      }
    });
    return true;
  }

  get streaming(): boolean {
    return this.#stop !== undefined;
  }

  endStream(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  end(): void {
    this.endStream();
    this.#socket.end();
    // A client that reads nothing would hold the daemon's exit up.
    this.#socket.setTimeout(500, () => this.#socket.destroy());
  }

  #send(text: string): void {
    if (this.#socket.writable) this.#socket.write(`${text}\n`);
  }

  #balance(): void {
    const full = this.#socket.writableLength + this.#waiting > MAX_UNREAD;
    if (full) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }
}
