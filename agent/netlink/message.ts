/**
 * Framing of netlink messages: struct nlmsghdr and genlmsghdr, acknowledgements, ends of dumps
 * (linux/netlink.h, Documentation/userspace-api/netlink/intro.rst).
 */
import { Attributes, align, CodecError, LITTLE_ENDIAN, text, u32, type Writer } from './attributes.ts';

export const HEADER_LENGTH = 16;
export const GENL_HEADER_LENGTH = 4;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
/** On requests that make something: refuse when it is there, and make it. */
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
/** On answers: what was dumped changed meanwhile; the request is not repeated in the ACK; the ACK has attributes. */
const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;

/** One message in a buffer, without its header: view[from..to). Good as long as the buffer is. */
export interface Message {
  readonly type: number;
  readonly interrupted: boolean;
  readonly view: DataView;
  readonly from: number;
  readonly to: number;
}

/** Appends a header whose length endMessage() fills in; returns where the message starts. */
export function beginMessage(out: Writer, type: number, flags: number, sequence: number): number {
  const start = out.reserve(HEADER_LENGTH);
  out.view.setUint16(start + 4, type, LITTLE_ENDIAN);
  out.view.setUint16(start + 6, flags, LITTLE_ENDIAN);
  out.view.setUint32(start + 8, sequence, LITTLE_ENDIAN);
  return start;
}

export function endMessage(out: Writer, start: number): void {
  out.view.setUint32(start, out.at - start, LITTLE_ENDIAN);
}

export function putGenlHeader(out: Writer, command: number, version: number): void {
  const at = out.reserve(GENL_HEADER_LENGTH);
  out.view.setUint8(at, command);
  out.view.setUint8(at + 1, version);
}

/** Where the message at `at` ends; refuses one that does not fit into view[at..to). */
export function messageEnd(view: DataView, at: number, to: number): number {
  const length = at + HEADER_LENGTH <= to ? view.getUint32(at, LITTLE_ENDIAN) : 0;
  if (length < HEADER_LENGTH || at + length > to) throw new CodecError(`truncated message at byte ${at}`);
  return at + length;
}

export function messageType(view: DataView, at: number): number {
  return view.getUint16(at + 4, LITTLE_ENDIAN);
}

export function messageSequence(view: DataView, at: number): number {
  return view.getUint32(at + 8, LITTLE_ENDIAN);
}

export function messageAt(view: DataView, at: number, end: number): Message {
  const interrupted = (view.getUint16(at + 6, LITTLE_ENDIAN) & NLM_F_DUMP_INTR) !== 0;
  return { type: messageType(view, at), interrupted, view, from: at + HEADER_LENGTH, to: end };
}

/** The messages in one datagram. */
export function* messagesIn(view: DataView, length: number): Generator<Message> {
  for (let at = 0; at < length; ) {
    const end = messageEnd(view, at, length);
    yield messageAt(view, at, end);
    at = align(end);
  }
}

/** What an NLMSG_ERROR or NLMSG_DONE says. */
export interface Outcome {
  /** Positive; 0 when it went well. */
  readonly errno: number;
  /** The kernel's own words (extended ACK); empty when it had none. */
  readonly kernelMessage: string;
  /** Where in our request the offending attribute lies, in bytes from its start. */
  readonly offset: number | undefined;
}

/** enum nlmsgerr_attrs. */
export const EXTENDED_ACK = new Attributes({ message: [1, text], offset: [2, u32] });
export const SUCCESS: Outcome = { errno: 0, kernelMessage: '', offset: undefined };

/** Of an NLMSG_ERROR or NLMSG_DONE: positive, or 0 when it went well (a dump's end may say how much there was). */
export function readErrno(view: DataView, at: number, end: number): number {
  if (end - at < HEADER_LENGTH + 4) throw new CodecError('truncated acknowledgement');
  return Math.max(0, -view.getInt32(at + HEADER_LENGTH, LITTLE_ENDIAN));
}

export function readOutcome(view: DataView, at: number, end: number): Outcome {
  const errno = readErrno(view, at, end);
  const flags = view.getUint16(at + 6, LITTLE_ENDIAN);
  if ((flags & NLM_F_ACK_TLVS) === 0)
    return errno === 0 ? SUCCESS : { errno, kernelMessage: '', offset: undefined };
  let from = at + HEADER_LENGTH + 4;
  if (messageType(view, at) === NLMSG_ERROR) {
    // The header of our request, and the rest of it unless capped.
    const request = end - from < HEADER_LENGTH ? 0 : view.getUint32(from, LITTLE_ENDIAN);
    from += flags & NLM_F_CAPPED ? HEADER_LENGTH : align(request);
    if (from > end || request < HEADER_LENGTH) throw new CodecError('truncated acknowledgement');
  }
  const { message, offset } = EXTENDED_ACK.decode(view, from, end);
  return { errno, kernelMessage: message ?? '', offset };
}
