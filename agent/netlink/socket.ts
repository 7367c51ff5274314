/**
 * Requests, dumps and notifications of one netlink protocol. Whatever fails is a NetlinkError.
 *
 * Requests are synchronous: the kernel runs its handler inside send(), so the answer is there when that
 * returns. Each dump and each subscription has a socket of its own: a socket takes one dump at a time, and
 * notifications between a request and its answer would have to be kept.
 */
import { getSystemErrorMap } from 'node:util';
import type { Addon } from './addon.ts';
import { align, CodecError, Writer } from './attributes.ts';
import {
  beginMessage,
  endMessage,
  type Message,
  messageAt,
  messageEnd,
  messageSequence,
  messageType,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  type Outcome,
  readErrno,
  readOutcome,
} from './message.ts';

export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NETLINK_GENERIC = 16;

const ERRORS = getSystemErrorMap();
const ENOBUFS = 105;
const EINTR = 4;
const EPROTO = 71;
/** The kernel never makes a larger one (net/netlink/af_netlink.c: dumps are cut at 32 KiB). */
const LARGEST_DATAGRAM = 65536;
const LARGEST_REQUEST = 16384;
/** Notifications read at once, and the room for each; a link's with many attributes takes 2 to 4 KiB. */
const SLOTS = 64;
const SLOT = 8192;
/** Some milliseconds of them. */
const DRAINED_AT_ONCE = 1024;

export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  /** What was attempted, in words. */
  readonly operation: string;
  /** Positive. */
  readonly errno: number;
  /** "EADDRINUSE" and so on. */
  readonly code: string;
  /** The kernel's extended ACK; empty when it gave none. */
  readonly kernelMessage: string;
  /** Of the attribute that the kernel objects to, in bytes from the start of our message. */
  readonly offset: number | undefined;

  constructor(operation: string, errno: number, kernelMessage = '', offset?: number) {
    const [code, meaning] = ERRORS.get(-errno) ?? [`E${errno}`, 'unknown error'];
    super(`${operation}: ${meaning} (${code})${kernelMessage === '' ? '' : `: ${kernelMessage}`}`);
    this.operation = operation;
    this.errno = errno;
    this.code = code;
    this.kernelMessage = kernelMessage;
    this.offset = offset;
  }
}

/** What a subscription hears. */
export interface Listener {
  /** One message: its payload is view[from..to), good during the call. */
  message(type: number, view: DataView, from: number, to: number): void;
  /** Messages were lost. What is queued is older, and the kernel adds nothing until all of it is read. */
  lost(): void;
  /** The kernel sent what is no message. */
  malformed(error: CodecError): void;
  /** The socket failed and will hear nothing more. */
  failed(error: NetlinkError): void;
}

export interface Subscription {
  /** To keep in systemd's file descriptor store. */
  readonly fd: number;
  /** In bytes, as granted. */
  readonly receiveBuffer: number;
  /** Hears some of what is queued, at once; true when nothing is left. Not to be called by a listener. */
  drain(): boolean;
  close(): void;
}

export class Channel {
  readonly #addon: typeof Addon;
  readonly #protocol: number;
  readonly #socket: Addon.NetlinkSocket;
  readonly #out = new Writer(LARGEST_REQUEST);
  readonly #reply = new Uint8Array(LARGEST_DATAGRAM);
  readonly #replyView = new DataView(this.#reply.buffer);
  #sequence = 0;

  constructor(addon: typeof Addon, protocol: number) {
    this.#addon = addon;
    this.#protocol = protocol;
    this.#socket = attempt('open netlink socket', () => new addon.NetlinkSocket(protocol, 0));
  }

  close(): void {
    this.#socket.close();
  }

  /**
   * Sends one request and returns the message that answers it, good until the next request; undefined when
   * the kernel only acknowledged it. `payload` appends what follows the header.
   */
  request(
    operation: string,
    type: number,
    flags: number,
    payload: (out: Writer) => void,
  ): Message | undefined {
    const answer = this.ask(operation, type, flags, payload);
    if (!('errno' in answer)) return answer;
    if (answer.errno !== 0) throw refusal(operation, answer);
    return undefined;
  }

  /**
   * As request(), but a refusal is given back, not thrown: for questions to which "no" is a usual answer. An
   * Error, with its stack, costs more than the question.
   */
  ask(operation: string, type: number, flags: number, payload: (out: Writer) => void): Message | Outcome {
    this.#write(type, NLM_F_REQUEST | flags, payload);
    const end = this.#exchange(operation);
    const view = this.#replyView;
    return messageType(view, 0) === NLMSG_ERROR ? readOutcome(view, 0, end) : messageAt(view, 0, end);
  }

  /** Sends one request to learn only how the kernel takes it: 0 or a positive errno. */
  errno(operation: string, type: number, payload: (out: Writer) => void): number {
    this.#write(type, NLM_F_REQUEST | NLM_F_ACK, payload);
    return readErrno(this.#replyView, 0, this.#exchange(operation));
  }

  /** As request(), acknowledged: for what changes something. */
  command(operation: string, type: number, flags: number, payload: (out: Writer) => void): void {
    this.request(operation, type, NLM_F_ACK | flags, payload);
  }

  /** A whole dump at once; each message is good until the next is asked for. */
  *dump(operation: string, type: number, payload: (out: Writer) => void): Generator<Message> {
    for (const chunk of this.#dump(operation, type, payload)) yield* chunk;
  }

  /**
   * A dump, a datagram (at most 32 KiB) at a time. The event loop gets its turn after each, and after the last, which
   * may be empty: in a system call the kernel searches through all sockets for what to tell next.
   */
  async *dumpChunks(
    operation: string,
    type: number,
    payload: (out: Writer) => void,
  ): AsyncGenerator<readonly Message[]> {
    for (const chunk of this.#dump(operation, type, payload)) {
      yield chunk;
      await new Promise(setImmediate);
    }
  }

  /** Hears multicast groups, or goes on with a socket (`fd`) that did before. */
  watch(groups: readonly number[], receiveBuffer: number, listener: Listener, fd?: number): Subscription {
    return attempt('subscribe to netlink notifications', () => {
      const socket = new this.#addon.NetlinkSocket(this.#protocol, receiveBuffer, fd);
      for (const group of groups) socket.join(group);
      return hear(socket, listener);
    });
  }

  #write(type: number, flags: number, payload: (out: Writer) => void): void {
    this.#out.at = 0;
    this.#sequence = (this.#sequence + 1) >>> 0;
    const start = beginMessage(this.#out, type, flags, this.#sequence);
    payload(this.#out);
    endMessage(this.#out, start);
  }

  /** Returns where the answer, which starts the reply, ends. */
  #exchange(operation: string): number {
    const view = this.#replyView;
    let length = attempt(operation, () => this.#socket.request(this.#out.bytes, this.#out.at, this.#reply));
    for (;;) {
      if (length === 0) throw new NetlinkError(operation, EPROTO, 'no answer');
      const end = messageEnd(view, 0, length);
      if (messageSequence(view, 0) === this.#sequence) return end;
      // Left by an earlier request that was answered twice.
      length = attempt(operation, () => this.#socket.receive(this.#reply));
    }
  }

  *#dump(operation: string, type: number, payload: (out: Writer) => void): Generator<readonly Message[]> {
    const socket = attempt(operation, () => new this.#addon.NetlinkSocket(this.#protocol, 0));
    const bytes = new Uint8Array(LARGEST_DATAGRAM);
    const view = new DataView(bytes.buffer);
    try {
      this.#write(type, NLM_F_REQUEST | NLM_F_DUMP, payload);
      let length = attempt(operation, () => socket.request(this.#out.bytes, this.#out.at, bytes));
      for (;;) {
        if (length === 0) throw new NetlinkError(operation, EPROTO, 'the dump has no end');
        const { messages, done } = readChunk(operation, view, length);
        yield messages;
        if (done) return;
        length = attempt(operation, () => socket.receive(bytes));
      }
    } finally {
      socket.close();
    }
  }
}

function readChunk(
  operation: string,
  view: DataView,
  length: number,
): { messages: Message[]; done: boolean } {
  const messages: Message[] = [];
  for (let at = 0; at < length; ) {
    const end = messageEnd(view, at, length);
    const message = messageAt(view, at, end);
    if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
      const outcome = readOutcome(view, at, end);
      if (outcome.errno !== 0) throw refusal(operation, outcome);
      if (message.interrupted) throw interruptedDump(operation);
      return { messages, done: true };
    }
    if (message.interrupted) throw interruptedDump(operation);
    messages.push(message);
    at = align(end);
  }
  return { messages, done: false };
}

export function refusal(operation: string, { errno, kernelMessage, offset }: Outcome): NetlinkError {
  return new NetlinkError(operation, errno, kernelMessage, offset);
}

function interruptedDump(operation: string): NetlinkError {
  return new NetlinkError(operation, EINTR, 'what was dumped changed meanwhile');
}

function hear(socket: Addon.NetlinkSocket, listener: Listener): Subscription {
  const buffer = new Uint8Array(SLOTS * SLOT);
  const view = new DataView(buffer.buffer);
  const lengths = new Int32Array(SLOTS);
  const hearDatagram = (from: number, length: number): void => {
    if (length < 0) return listener.lost();
    try {
      for (let at = from; at < from + length; ) {
        const end = messageEnd(view, at, from + length);
        listener.message(messageType(view, at), view, at + 16, end);
        at = align(end);
      }
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      listener.malformed(error);
    }
  };
  const failed = (errno: number): void => {
    if (errno === ENOBUFS) listener.lost();
    else listener.failed(new NetlinkError('hear netlink notifications', errno));
  };
  const drain = (): boolean => {
    for (let i = 0; i < DRAINED_AT_ONCE; i++) {
      try {
        const length = socket.receive(buffer);
        if (length === 0) return true;
        hearDatagram(0, length);
      } catch (error) {
        const { errno } = error as NodeJS.ErrnoException;
        if (errno === undefined) throw error;
        failed(errno);
        if (errno !== ENOBUFS) return true;
      }
    }
    return false;
  };
  socket.watch(
    buffer,
    lengths,
    (count) => {
      for (let i = 0; i < count; i++) hearDatagram(i * SLOT, lengths[i]!);
    },
    failed,
  );
  const { fd, receiveBuffer } = socket;
  return { fd, receiveBuffer, drain, close: () => socket.close() };
}

/** Turns the addon's errors into ours. */
function attempt<T>(operation: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const { errno, syscall } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    throw new NetlinkError(operation, errno, syscall);
  }
}
