/** The other end of the control socket: what smappctl, and any program in TypeScript, calls the daemon with. */
import { createConnection } from 'node:net';
import { lineReader } from './lines.ts';

/** An error that the daemon answered with; `remedy` says what to do about it. */
export class ControlError extends Error {
  readonly code: number;
  readonly remedy: string;
  readonly data: Readonly<Record<string, unknown>>;
  constructor(code: number, message: string, data: Readonly<Record<string, unknown>>) {
    super(message);
    this.code = code;
    this.remedy = String(data['remedy'] ?? '');
    this.data = data;
  }
}

export interface ControlClient {
  /** Throws ControlError when the daemon answers with an error, Error when the socket breaks. */
  call(method: string, params?: object): Promise<unknown>;
  /** Calls `method` ("subscribe" or "record"), then back for each notification until the socket closes. */
  watch(
    method: string,
    params: object,
    each: (params: unknown) => void,
    dropped: (count: number) => void,
  ): Promise<void>;
  close(): void;
}

/** Answers of the daemon may be long (ten thousand connections); more than this is a broken peer. */
const MAX_LINE = 64 << 20;

interface Message {
  readonly id?: number | null;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: {
    readonly code: number;
    readonly message: string;
    readonly data?: Record<string, unknown>;
  };
}

/** Throws Error whose message says what to do when nobody listens or the socket may not be used. */
export async function connectControl(path: string): Promise<ControlClient> {
  const socket = createConnection(path);
  await new Promise<void>((done, fail) => {
    socket.once('connect', done);
    socket.once('error', (error: NodeJS.ErrnoException) =>
      fail(new Error(unreachable(path, error.code ?? ''))),
    );
  });

  let nextId = 1;
  const calls = new Map<number, { done: (result: unknown) => void; fail: (error: Error) => void }>();
  let onEach: (params: unknown) => void = () => {};
  let onDropped: (count: number) => void = () => {};
  let ended: () => void = () => {};
  const end = new Promise<void>((done) => {
    ended = done;
  });

  const breakAll = (error: Error): void => {
    for (const call of calls.values()) call.fail(error);
    calls.clear();
  };
  const take = (line: string): void => {
    let message: Message;
    try {
      message = JSON.parse(line) as Message;
    } catch {
      socket.destroy();
      breakAll(new Error(`what listens on ${path} is no smappd`));
      return;
    }
    if (message.method !== undefined) {
      if (message.method === 'dropped') onDropped((message.params as { count: number }).count);
      else onEach(message.params);
      return;
    }
    const error =
      message.error && new ControlError(message.error.code, message.error.message, message.error.data ?? {});
    if (typeof message.id !== 'number') {
      // An error of the whole connection: it answers every call.
      breakAll(error ?? new Error(`what listens on ${path} is no smappd`));
      return;
    }
    const call = calls.get(message.id);
    calls.delete(message.id);
    if (error) call?.fail(error);
    else call?.done(message.result);
  };
  socket.on(
    'data',
    lineReader(MAX_LINE, take, () => socket.destroy(new Error('the answer is too long'))),
  );
  socket.on('error', () => {});
  socket.on('close', () => {
    breakAll(new Error(`smappd closed the connection to ${path}`));
    ended();
  });

  const call = (method: string, params: object = {}): Promise<unknown> =>
    new Promise((done, fail) => {
      if (socket.destroyed) return fail(new Error(`the connection to ${path} is closed`));
      const id = nextId++;
      calls.set(id, { done, fail });
      socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    });

  return {
    call,
    async watch(method, params, each, dropped) {
      onEach = each;
      onDropped = dropped;
      await call(method, params);
      await end;
    },
    close: () => socket.destroy(),
  };
}

function unreachable(path: string, code: string): string {
  switch (code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return `smappd does not run (nothing listens on ${path}): start it (systemctl start smappd, or npm start), or give its socket with --control PATH`;
    case 'EACCES':
      return `you may not use ${path}: run as root, or join its group (usermod -aG smappd USER, then log in again)`;
    default:
      return `cannot connect to ${path}: ${code}`;
  }
}
