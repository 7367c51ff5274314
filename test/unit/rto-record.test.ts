/** Records of RTO events, byte by byte as native/bpf/rto.h lays them out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRtoEvents } from '../../agent/bpf/rto-events.ts';
import {
  decodeRto,
  decodeRtoCounters,
  encodeRto,
  encodeRtoSettings,
  RTO_RECORD_SIZE,
} from '../../agent/bpf/rto-record.ts';

const HEAD = [
  '00f2052a01000000', // at
  '0300000000000000', // netns
  'd204000000000000', // cgroup
  'efbeadde', // token
  '401f0300', // expired_us
  '803e0600', // rto_us
  '10270000', // srtt_us
  '78563412',
].join(''); // snd_una
/** Family, ports, backoff and state. */
const middle = (family: number) => `${Buffer.from([family]).toString('hex')}00889951140201`;
const TAIL = 'c0270900'; // silence_ms

const rows: [name: string, bytes: string, local: string, remote: string][] = [
  ['IPv4', `${middle(2)}0a000102${'0'.repeat(24)}0a010002${'0'.repeat(24)}`, '10.0.1.2', '10.1.0.2'],
  [
    'IPv6',
    '0a00' +
      '8899' +
      '5114' +
      '0201' +
      '20010db8000000000000000000000001' +
      'fe800000000000000000000000010002',
    '2001:db8::1',
    'fe80::1:2',
  ],
  [
    'IPv4 in IPv6',
    '0a00' +
      '8899' +
      '5114' +
      '0201' +
      '00000000000000000000ffff0a000102' +
      '00000000000000000000ffff0a010002',
    '10.0.1.2',
    '10.1.0.2',
  ],
];

for (const [name, ends, local, remote] of rows) {
  test(`a record of ${name}, the second of a batch`, () => {
    const record = Buffer.from(HEAD + ends + TAIL, 'hex');
    assert.equal(record.length, RTO_RECORD_SIZE);
    assert.deepEqual(decodeRto(Buffer.concat([Buffer.alloc(RTO_RECORD_SIZE), record]), 1), {
      at: 5_000_000_000n,
      netns: 3n,
      cgroup: 1234n,
      token: 0xdeadbeef,
      expired: 204_608,
      rto: 409_216,
      srtt: 10_000,
      sndUna: 0x12345678,
      backoff: 2,
      state: 1,
      silence: 600_000,
      local: { ip: local, port: 0x9988 },
      remote: { ip: remote, port: 0x1451 },
    });
  });
}

test('a record is encoded as it is decoded', () => {
  const [, middle4] = rows[0]!;
  const bytes = Buffer.from(HEAD + middle4 + TAIL, 'hex');
  assert.deepEqual(encodeRto(decodeRto(bytes, 0)), bytes);
});

test('settings and counters', () => {
  assert.equal(
    encodeRtoSettings(5n, 4000, true, 256).toString('hex'),
    '0500000000000000a00f0000010000000001000000000000',
  );
  const counters = Buffer.from('010000000000000002000000000000000300000000000000', 'hex');
  assert.deepEqual(decodeRtoCounters(counters), { dropped: 1, adopted: 2, refused: 3 });
});

test('without the addon the source is sampling, and says why', () => {
  const source = openRtoEvents('bpf.node is missing');
  assert.deepEqual([source.mode, source.reason], ['sampling', 'bpf.node is missing']);
});
