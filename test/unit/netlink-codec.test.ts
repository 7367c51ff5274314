/** The attribute codec: exact bytes, properties of any value, and a fuzz run over everything that reads bytes. */
import assert from 'node:assert/strict';
import net from 'node:net';
import test from 'node:test';
import fc from 'fast-check';
import {
  Attributes,
  be16,
  CodecError,
  type Decoded,
  ip4,
  ip6,
  list,
  nested,
  type Rows,
  s32,
  text,
  u8,
  u16,
  u32,
  u64,
  Writer,
} from '../../agent/netlink/attributes.ts';
import { messageAt, messagesIn, readOutcome } from '../../agent/netlink/message.ts';
import { ADDRESS, ATTR, decodeEvent, EVENT_ATTR } from '../../agent/netlink/mptcp-pm.ts';
import { readAddress, readLink, readRoutes, readRule } from '../../agent/netlink/rtnetlink.ts';
import { connectionSocket, subflowSocket } from '../../agent/netlink/sock-diag.ts';
import { captured, files, KERNELS } from '../captures/read.ts';

/** The same values in every run; a failure prints how to repeat it. */
const RUNS = { seed: 20_261_125, numRuns: 300 };

const INNER = new Attributes({ name: [1, text], id: [2, u32] });
const ALL = new Attributes({
  byte: [1, u8],
  short: [2, u16],
  port: [3, be16],
  word: [4, u32],
  signed: [5, s32],
  long: [6, u64],
  v4: [7, ip4],
  v6: [8, ip6],
  words: [9, text],
  inner: [10, nested(INNER)],
  many: [11, list(nested(INNER))],
});

function encode<R extends Rows>(table: Attributes<R>, values: Decoded<R>): Uint8Array {
  const out = new Writer(16_384);
  table.encode(out, values);
  return out.bytes.subarray(0, out.at);
}

function decode<R extends Rows>(table: Attributes<R>, bytes: Uint8Array): Decoded<R> {
  return table.decode(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
}

/** Without the fields that are not there. */
function present(values: object): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

const rows = [
  ['nothing', {}, ''],
  ['a number in host order', { word: 0x01020304 }, '08000400 04030201'],
  ['a negative number', { signed: -2 }, '08000500 feffffff'],
  ['a padded byte', { byte: 7 }, '05000100 07000000'],
  ['a port in network order', { port: 443 }, '06000300 01bb0000'],
  ['64 bits', { long: 2 ** 40 + 1 }, '0c000600 0100000000010000'],
  ['an IPv4 address', { v4: '10.0.0.1' }, '08000700 0a000001'],
  ['an IPv6 address', { v6: '2001:db8::1' }, '14000800 20010db8000000000000000000000001'],
  ['an IPv4-mapped address', { v6: '10.0.0.1' }, '14000800 00000000000000000000ffff0a000001'],
  ['text', { words: 'lo' }, '07000900 6c6f0000'],
  ['nested ones', { inner: { name: 'a', id: 1 } }, '14000a80 06000100 61000000 08000200 01000000'],
  [
    'a list',
    { many: [{ id: 1 }, { id: 2 }] },
    '1c000b80 0c000180 08000200 01000000 0c000280 08000200 02000000',
  ],
] as const;
for (const [name, values, hex] of rows) {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  test(`encodes ${name}`, () =>
    assert.equal(Buffer.from(encode(ALL, values)).toString('hex'), bytes.toString('hex')));
  test(`decodes ${name}`, () => {
    const { inner, many, ...rest } = decode(ALL, new Uint8Array(bytes));
    const found = { ...rest, inner: inner && present(inner), many: many?.map(present) };
    assert.deepEqual(present(found), values);
  });
}

test('unknown attributes, and the flags of known ones, are skipped', () => {
  const bytes = new Uint8Array(Buffer.from('0500ff0001000000080004c0040302010800ff3f00000000', 'hex'));
  assert.deepEqual(present(decode(ALL, bytes)), { word: 0x01020304 });
});

const refused = [
  ['a length below the header', '03000100'],
  ['a header cut short', '0400'],
  ['a value cut short', '080004000102'],
  ['a value shorter than its kind', '06000400 0102 0000'],
  ['a nested value cut short', '0c000a80 0c000100 61000000'],
] as const;
for (const [name, hex] of refused) {
  const bytes = new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  test(`refuses ${name}`, () => assert.throws(() => decode(ALL, bytes), CodecError));
}

const unfit = [
  { byte: 256 },
  { short: -1 },
  { word: 1.5 },
  { word: Number.NaN },
  { long: 2 ** 60 },
  { v4: '10.0.0' },
  { v4: '10.0.0.256' },
  { v4: '10.0.0.1.2' },
  { v4: '::1' },
  { v6: 'fe80::1%eth0' },
  { v6: '1:2:3' },
  { words: 'x'.repeat(70_000) },
];
for (const values of unfit) {
  const name = JSON.stringify(values).slice(0, 40);
  test(`refuses to encode ${name}`, () => assert.throws(() => encode(ALL, values), CodecError));
}

const ipv4 = fc.ipV4();
const ipv6 = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => decode(ALL, new Uint8Array([20, 0, 8, 0, ...bytes])).v6!);
const inner = fc.record(
  { name: fc.string({ maxLength: 20 }).filter((word) => !word.includes('\0')), id: fc.nat() },
  { requiredKeys: [], noNullPrototype: true },
);
const anything = fc.record(
  {
    byte: fc.nat(0xff),
    short: fc.nat(0xffff),
    port: fc.nat(0xffff),
    word: fc.integer({ min: 0, max: 0xffffffff }),
    signed: fc.integer(),
    long: fc.maxSafeNat(),
    v4: ipv4,
    v6: ipv6,
    words: fc.string({ unit: 'grapheme', maxLength: 50 }).filter((word) => !word.includes('\0')),
    inner,
    many: fc.array(inner, { maxLength: 5 }),
  },
  { requiredKeys: [], noNullPrototype: true },
);

test('what was encoded is decoded again', () => {
  fc.assert(
    fc.property(anything, (values) => {
      const { inner, many, ...rest } = decode(ALL, encode(ALL, values));
      const found = { ...rest, inner: inner && present(inner), many: many?.map(present) };
      assert.deepEqual(present(found), values);
    }),
    RUNS,
  );
});

test('events and commands of any content survive the way over and back', () => {
  const event = fc.record(
    {
      token: fc.nat(),
      locId: fc.nat(255),
      saddr4: ipv4,
      daddr6: ipv6,
      sport: fc.nat(0xffff),
      serverSide: fc.nat(1),
    },
    { requiredKeys: [], noNullPrototype: true },
  );
  const address = fc.record(
    {
      family: fc.constantFrom(2, 10),
      id: fc.nat(255),
      addr4: ipv4,
      addr6: ipv6,
      port: fc.nat(0xffff),
      ifIdx: fc.nat(),
    },
    { requiredKeys: [], noNullPrototype: true },
  );
  fc.assert(
    fc.property(event, address, address, fc.nat(), (values, addr, addrRemote, token) => {
      assert.deepEqual(present(decode(EVENT_ATTR, encode(EVENT_ATTR, values))), values);
      assert.deepEqual(present(decode(ADDRESS, encode(ADDRESS, addr))), addr);
      const back = decode(ATTR, encode(ATTR, { addr, token, addrRemote }));
      assert.deepEqual(present(back.addr!), addr);
      assert.deepEqual(present(back.addrRemote!), addrRemote);
    }),
    RUNS,
  );
});

test('a cut anywhere is refused, or falls between attributes', () => {
  fc.assert(
    fc.property(anything, fc.nat(), (values, where) => {
      const bytes = encode(ALL, values);
      const cut = bytes.subarray(0, bytes.length === 0 ? 0 : where % bytes.length);
      try {
        const left = present(decode(ALL, cut));
        for (const [key, value] of Object.entries(left)) {
          const whole = decode(ALL, bytes) as Record<string, unknown>;
          assert.deepEqual(value, whole[key]);
        }
      } catch (error) {
        assert.ok(error instanceof CodecError, String(error));
      }
    }),
    RUNS,
  );
});

test('addresses are written as other programs write them, and read back', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        ipv4,
        ipv6,
        fc.ipV6().map((ip) => ip),
      ),
      (ip) => {
        const bytes = encode(ALL, { v6: ip });
        const found = decode(ALL, bytes).v6!;
        assert.ok(net.isIP(found) !== 0, found);
        const canonical = net.isIPv4(found) ? found : new URL(`http://[${found}]`).hostname.slice(1, -1);
        assert.equal(found, canonical);
        assert.deepEqual(encode(ALL, { v6: found }), bytes);
      },
    ),
    RUNS,
  );
});

/** Everything that reads bytes from the kernel. Each may throw a CodecError, and nothing else. */
const readers: readonly ((view: DataView, length: number) => unknown)[] = [
  (view, length) => decodeEvent(view, 16, length),
  (view, length) => readOutcome(view, 0, length),
  (view, length) => [...messagesIn(view, length)].map((message) => subflowSocket(message, 0)),
  (view, length) => subflowSocket(messageAt(view, 0, length), 0),
  (view, length) => connectionSocket(messageAt(view, 0, length), 0),
  (view, length) => readLink(messageAt(view, 0, length)),
  (view, length) => readAddress(messageAt(view, 0, length)),
  (view, length) => readRoutes(messageAt(view, 0, length)),
  (view, length) => readRule(messageAt(view, 0, length)),
  (view, length) => ATTR.decode(view, 20, length),
  (view, length) => ALL.decode(view, 0, length),
];

test('no bytes make a reader throw anything but a CodecError', () => {
  const samples = KERNELS.flatMap((kernel) => files(kernel).flatMap((file) => captured(kernel, file)));
  const mutation = fc.record({ at: fc.nat(), value: fc.nat(255) });
  const damaged = fc
    .tuple(fc.constantFrom(...samples), fc.array(mutation, { maxLength: 8 }), fc.nat(), fc.boolean())
    .map(([sample, mutations, cut, whole]) => {
      const bytes = new Uint8Array(sample.view.buffer.slice(0));
      for (const { at, value } of mutations) bytes[at % bytes.length] = value;
      return whole ? bytes : bytes.slice(0, cut % bytes.length);
    });
  const noise = fc.uint8Array({ maxLength: 200 });
  let taken = 0;
  fc.assert(
    fc.property(
      fc.oneof({ weight: 9, arbitrary: damaged }, noise),
      fc.constantFrom(...readers),
      (bytes, read) => {
        if (bytes.length < 16) return;
        try {
          read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), bytes.length);
          taken++;
        } catch (error) {
          if (!(error instanceof CodecError)) throw error;
        }
      },
    ),
    { ...RUNS, numRuns: 30_000 },
  );
  assert.ok(taken > 1000, `only ${taken} inputs got through: the fuzzer tests nothing deep`);
});
