/** Routes and rules survive the way through bytes, and bytes that are none are refused in one way. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { CodecError, Writer } from '../../agent/netlink/attributes.ts';
import type { Message } from '../../agent/netlink/message.ts';
import {
  putLookup,
  putRoute,
  putRule,
  type Route,
  type Rule,
  readAddress,
  readLink,
  readRoutes,
  readRule,
} from '../../agent/netlink/rtnetlink.ts';

function messageOf(put: (out: Writer) => void): Message {
  const out = new Writer(512);
  put(out);
  return { type: 0, interrupted: false, view: out.view, from: 0, to: out.at };
}

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const ip4 = fc.ipV4();
const ip6 = fc
  .array(fc.integer({ min: 1, max: 0xffff }), { minLength: 7, maxLength: 7 })
  .map((parts) => `2001:${parts.map((part) => part.toString(16)).join(':')}`);
const ofFamily = <T>(make: (family: 4 | 6, ip: fc.Arbitrary<string>) => fc.Arbitrary<T>) =>
  fc.oneof(make(4, ip4), make(6, ip6));

const routes: fc.Arbitrary<Route> = ofFamily((family, ip) =>
  fc.record({
    family: fc.constant(family),
    table: u32,
    destination: fc.oneof(
      fc.constant(family === 4 ? '0.0.0.0/0' : '::/0'),
      fc.tuple(ip, fc.integer({ min: 1, max: family === 4 ? 32 : 128 })).map((pair) => pair.join('/')),
    ),
    ifindex: fc.integer({ min: 1, max: 0x7fff_ffff }),
    // An IPv4 route may have an IPv6 gateway.
    gateway: fc.option(family === 4 ? fc.oneof(ip4, ip6) : ip6, { nil: undefined }),
    metric: u32,
    onlink: fc.boolean(),
    mtu: fc.option(fc.integer({ min: 68, max: 65_535 }), { nil: undefined }),
    protocol: fc.integer({ min: 0, max: 255 }),
  }),
);
const rules: fc.Arbitrary<Rule> = ofFamily((family, ip) =>
  fc.record({
    family: fc.constant(family),
    priority: u32,
    source: ip,
    table: u32,
    protocol: fc.integer({ min: 0, max: 255 }),
  }),
);

test('what is written is read again', () => {
  fc.assert(
    fc.property(routes, (route) =>
      assert.deepEqual(readRoutes(messageOf((out) => putRoute(out, route))), [{ ...route }]),
    ),
  );
  fc.assert(
    fc.property(rules, (rule) =>
      assert.deepEqual(readRule(messageOf((out) => putRule(out, rule))), { ...rule }),
    ),
  );
});

test('bytes that are no message are refused with a CodecError, and nothing else is ever thrown', () => {
  const start = fc.oneof(
    routes.map((route) => messageOf((out) => putRoute(out, route))),
    rules.map((rule) => messageOf((out) => putRule(out, rule))),
    fc.constant(messageOf((out) => putLookup(out, '10.0.0.1', '10.0.0.2'))),
  );
  const damage = fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 });
  fc.assert(
    fc.property(start, damage, fc.nat(130), (message, changes, length) => {
      const bytes = new Uint8Array(message.view.buffer.slice(0, Math.min(length, message.to)));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const damaged = { ...message, view: new DataView(bytes.buffer), to: bytes.length };
      for (const read of [readLink, readAddress, readRoutes, readRule]) {
        try {
          read(damaged);
        } catch (error) {
          if (!(error instanceof CodecError)) throw error;
        }
      }
    }),
    { numRuns: 1000 },
  );
});
