/**
 * Netlink attributes as tables: one table both decodes and encodes, and gives the TypeScript type.
 *
 * Attributes (struct nlattr, linux/netlink.h) are length, type, value, padded to 4 bytes, in host byte order.
 * Unknown ones are skipped, as every newer kernel has some; truncated ones are refused. Tables are compiled once
 * into an array by attribute type, because events are decoded hundreds of thousands of times a second.
 */
import { endianness } from 'node:os';
import { ip4Text, ip6Text, putIp4, putIp6 } from './ip.ts';

/** Bytes that are no message of the expected form, or a value that no message can hold. The codecs throw nothing else. */
export class CodecError extends Error {
  override readonly name = 'CodecError';
}

export const LITTLE_ENDIAN = endianness() === 'LE';
const HEADER = 4;
const NESTED = 0x8000;
const TYPE_MASK = 0x3fff;

export const align = (length: number): number => (length + 3) & ~3;

/** Where a message grows. The bytes before `at` are written. */
export class Writer {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at = 0;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Takes the next `length` bytes, zeroed, with the padding that follows them, and returns where they start. */
  reserve(length: number): number {
    const start = this.at;
    const end = start + align(length);
    if (end > this.bytes.length) throw new CodecError(`message longer than ${this.bytes.length} bytes`);
    // Faster than fill() for the few bytes that it mostly is.
    for (let at = start; at < end; at += 4) this.view.setInt32(at, 0);
    this.at = end;
    return start;
  }
}

/** How one kind of value lies in an attribute. */
export interface Wire<T> {
  /** The least number of bytes that `get` reads. */
  readonly min: number;
  get(view: DataView, from: number, to: number): T;
  /** Appends the value, padded, and returns its length without the padding. */
  put(out: Writer, value: T): number;
  readonly nested?: boolean;
}

function integer(
  bytes: number,
  [least, most]: readonly [number, number],
  get: (view: DataView, at: number) => number,
  put: (view: DataView, at: number, value: number) => void,
): Wire<number> {
  return {
    min: bytes,
    get,
    put(out, value) {
      if (!Number.isInteger(value) || value < least || value > most) {
        throw new CodecError(`${value} is no integer from ${least} to ${most}`);
      }
      put(out.view, out.reserve(bytes), value);
      return bytes;
    },
  };
}

export const u8: Wire<number> = integer(
  1,
  [0, 0xff],
  (view, at) => view.getUint8(at),
  (view, at, value) => view.setUint8(at, value),
);
export const u16: Wire<number> = integer(
  2,
  [0, 0xffff],
  (view, at) => view.getUint16(at, LITTLE_ENDIAN),
  (view, at, value) => view.setUint16(at, value, LITTLE_ENDIAN),
);
/** Network byte order. */
export const be16: Wire<number> = integer(
  2,
  [0, 0xffff],
  (view, at) => view.getUint16(at),
  (view, at, value) => view.setUint16(at, value),
);
export const u32: Wire<number> = integer(
  4,
  [0, 0xffffffff],
  (view, at) => view.getUint32(at, LITTLE_ENDIAN),
  (view, at, value) => view.setUint32(at, value, LITTLE_ENDIAN),
);
export const s32: Wire<number> = integer(
  4,
  [-0x80000000, 0x7fffffff],
  (view, at) => view.getInt32(at, LITTLE_ENDIAN),
  (view, at, value) => view.setInt32(at, value, LITTLE_ENDIAN),
);

/** A u64 as a number: exact to 2^53, which byte counts and sequence numbers reach only after petabytes. */
export function u64At(view: DataView, at: number): number {
  const low = view.getUint32(LITTLE_ENDIAN ? at : at + 4, LITTLE_ENDIAN);
  return view.getUint32(LITTLE_ENDIAN ? at + 4 : at, LITTLE_ENDIAN) * 0x1_0000_0000 + low;
}

export const u64: Wire<number> = integer(8, [0, Number.MAX_SAFE_INTEGER], u64At, (view, at, value) =>
  view.setBigUint64(at, BigInt(value), LITTLE_ENDIAN),
);

export const ip4: Wire<string> = {
  min: 4,
  get: ip4Text,
  put(out, value) {
    if (!putIp4(out.view, out.reserve(4), value)) throw new CodecError(`"${value}" is no IPv4 address`);
    return 4;
  },
};

/** IPv4-mapped addresses are written and read as plain IPv4. */
export const ip6: Wire<string> = {
  min: 16,
  get: ip6Text,
  put(out, value) {
    if (!putIp6(out.view, out.reserve(16), value)) throw new CodecError(`"${value}" is no IP address`);
    return 16;
  },
};

/** Text that ends with a zero byte. */
export const text: Wire<string> = {
  min: 0,
  get(view, from, to) {
    const bytes = Buffer.from(view.buffer, view.byteOffset + from, to - from);
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
  },
  put(out, value) {
    const bytes = Buffer.from(`${value}\0`);
    out.bytes.set(bytes, out.reserve(bytes.length));
    return bytes.length;
  },
};

// biome-ignore lint/suspicious/noExplicitAny: a table mixes wires of any value type, and its type keeps them apart
type Row = readonly [type: number, wire: Wire<any>];
export type Rows = Readonly<Record<string, Row>>;
export type Decoded<R extends Rows> = {
  readonly [K in keyof R]?: (R[K][1] extends Wire<infer V> ? V : never) | undefined;
};

interface CompiledRow {
  readonly name: string;
  readonly wire: Wire<unknown>;
  readonly type: number;
}

/** A compiled table. Rows are encoded in their order; decoded objects always have the same shape. */
export class Attributes<R extends Rows> {
  readonly #byType: readonly (CompiledRow | undefined)[];
  readonly #rows: readonly CompiledRow[];
  readonly #empty: Readonly<Record<string, unknown>>;

  constructor(rows: R) {
    this.#rows = Object.entries(rows).map(([name, [type, wire]]) => ({ name, wire, type }));
    const length = 1 + Math.max(...this.#rows.map((row) => row.type));
    this.#byType = Array.from({ length }, (_, type) => this.#rows.find((row) => row.type === type));
    this.#empty = Object.fromEntries(this.#rows.map((row) => [row.name, undefined]));
  }

  /** Decodes the attributes that fill view[from..to). */
  decode(view: DataView, from: number, to: number): Decoded<R> {
    const out: Record<string, unknown> = { ...this.#empty };
    for (let at = from; at < to; ) {
      const end = attributeEnd(view, at, to);
      const row = this.#byType[view.getUint16(at + 2, LITTLE_ENDIAN) & TYPE_MASK];
      if (row !== undefined) {
        if (end - at - HEADER < row.wire.min) throw new CodecError(`attribute ${row.name} is too short`);
        out[row.name] = row.wire.get(view, at + HEADER, end);
      }
      at = align(end - from) + from;
    }
    return out as Decoded<R>;
  }

  /** Appends an attribute for each value that is there. */
  encode(out: Writer, values: Decoded<R>): void {
    // By index: code that is not optimized yet makes an object for each turn of a loop over an iterator.
    for (let i = 0; i < this.#rows.length; i++) {
      const { name, wire, type } = this.#rows[i]!;
      const value = values[name];
      if (value !== undefined) putAttribute(out, type, wire, value);
    }
  }
}

/** Where the attribute at `at` ends, without its padding. */
function attributeEnd(view: DataView, at: number, to: number): number {
  const end = at + HEADER <= to ? at + view.getUint16(at, LITTLE_ENDIAN) : 0;
  if (end < at + HEADER || end > to) throw new CodecError(`truncated attribute at byte ${at}`);
  return end;
}

function putAttribute<T>(out: Writer, type: number, wire: Wire<T>, value: T): void {
  const start = out.reserve(HEADER);
  const length = HEADER + wire.put(out, value);
  if (length > 0xffff) throw new CodecError(`attribute ${type} is longer than 65535 bytes`);
  out.view.setUint16(start, length, LITTLE_ENDIAN);
  out.view.setUint16(start + 2, wire.nested ? type | NESTED : type, LITTLE_ENDIAN);
}

/** Attributes within an attribute. */
export function nested<R extends Rows>(table: Attributes<R>): Wire<Decoded<R>> {
  return {
    min: 0,
    nested: true,
    get: (view, from, to) => table.decode(view, from, to),
    put(out, value) {
      const start = out.at;
      table.encode(out, value);
      return out.at - start;
    },
  };
}

/** A list whose elements are attributes of any type: the kernel numbers them. */
export function list<T>(element: Wire<T>): Wire<readonly T[]> {
  return {
    min: 0,
    nested: true,
    get(view, from, to) {
      const out: T[] = [];
      for (let at = from; at < to; ) {
        const end = attributeEnd(view, at, to);
        if (end - at - HEADER < element.min) throw new CodecError(`list element at byte ${at} is too short`);
        out.push(element.get(view, at + HEADER, end));
        at = from + align(end - from);
      }
      return out;
    },
    put(out, values) {
      const first = out.at;
      for (const [index, value] of values.entries()) putAttribute(out, index + 1, element, value);
      return out.at - first;
    },
  };
}
