/** The converter's parsers: rows of bytes and what they mean, and libFuzzer for what nobody thought of. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';

// Tests run compiled, from dist/test/unit: what is not TypeScript stays where it is.
const ROOT = new URL('../../../', import.meta.url).pathname;
const CONVERTER = join(ROOT, 'native/converter');
const folder = mkdtempSync(join(tmpdir(), 'smappd-codec-'));
after(() => rmSync(folder, { recursive: true }));

const sources = (...names: string[]) => names.map((name) => join(CONVERTER, `${name}.c`));
const program = join(folder, 'codec');
execFileSync('cc', [
  '-O1',
  '-Wall',
  '-fsanitize=address,undefined',
  '-pthread',
  '-o',
  program,
  join(ROOT, 'test/unit/converter-codec.c'),
  ...sources('convert', 'cookie', 'syn', 'access', 'address'),
]);

/** Rows of [what it is, bytes or words, what is made of it]. */
function says(verb: string, rows: readonly (readonly [string, string, string])[]): void {
  const input = rows.map(([, given]) => `${verb} ${given}`).join('\n');
  const output = execFileSync(program, { input, encoding: 'utf8' }).trimEnd().split('\n');
  const seen = rows.map(([name], index) => `${name}: ${output[index]!.trim()}`);
  assert.deepEqual(
    seen,
    rows.map(([name, , meaning]) => `${name}: ${meaning}`),
  );
}

const hex = (text: string): string => text.replaceAll(' ', '');

test('Convert messages (RFC 8803, section 4)', () => {
  says('convert', [
    ['nothing', '', 'more'],
    ['half a header', hex('0102 22'), 'more'],
    ['a header alone', hex('0101 2263'), 'length=4'],
    ['Info', hex('0102 2263 0101 0000'), 'length=8 info'],
    [
      'Connect to IPv6, port 12345',
      hex('0106 2263 0a05 3039 0000 0000 0000 0000 0001 05ee 0bad c0de'),
      'length=24 connect=[::1:5ee:bad:c0de]:12345 options=',
    ],
    [
      'Connect to IPv4',
      hex('0106 2263 0a05 01bb 0000 0000 0000 0000 0000 ffff c633 6401'),
      'length=24 connect=198.51.100.1:443 options=',
    ],
    [
      'Connect with MP_CAPABLE, and what follows the message',
      hex('0107 2263 0a06 01bb 0000 0000 0000 0000 0000 ffff c633 6401 1e04 0181 474554'),
      'length=28 connect=198.51.100.1:443 options=1e040181',
    ],
    ['Connect, not all there yet', hex('0106 2263 0a05 01bb 0000'), 'more'],
    [
      'Connect to port 0',
      hex('0106 2263 0a05 0000 0000 0000 0000 0000 0000 ffff c633 6401'),
      'wrong error=malformed message',
    ],
    ['Connect too short', hex('0103 2263 0a02 01bb 0000 0000'), 'wrong error=malformed message'],
    [
      'Connect with half an option',
      hex('0107 2263 0a06 01bb 0000 0000 0000 0000 0000 ffff c633 6401 1e08 0181'),
      'wrong error=malformed message',
    ],
    ['Supported Extensions', hex('0103 2263 1502 0000 0203 041e'), 'length=12 supported=0203041e'],
    [
      'Extended TCP Header',
      hex('0104 2263 1403 0000 0204 05b4 0402 0000'),
      'length=16 extended=020405b404020000',
    ],
    ['Cookie', hex('0104 2263 1603 0000 0011 2233 4455 6677'), 'length=16 cookie=0011223344556677'],
    ['Error', hex('0102 2263 1e01 6000'), 'length=8 error=connection reset value=00'],
    [
      'Error with a longer value',
      hex('0103 2263 1e02 211c 1300 0000'),
      'length=12 error=unsupported TCP option value=1c13000000',
    ],
    ['version 2', '02', 'wrong error=unsupported version value=01'],
    ['another protocol', hex('0101 5353'), 'wrong error=malformed message'],
    ['length 0', hex('0100 2263'), 'wrong error=malformed message'],
    ['an unknown TLV', hex('0102 2263 2a01 0000'), 'wrong error=unsupported message value=2a'],
    ['a TLV of length 0', hex('0102 2263 0100 0000'), 'wrong error=malformed message'],
    ['a TLV beyond the end', hex('0102 2263 0102 0000'), 'wrong error=malformed message'],
    ['the same TLV twice', hex('0103 2263 0101 0000 0101 0000'), 'wrong error=malformed message'],
  ]);
});

test('cookies are SipHash-2-4 (the reference vector of 16 bytes)', () => {
  says('cookie', [
    [
      'key 00 to 0f',
      '000102030405060708090a0b0c0d0e0f 1:203:405:607:809:a0b:c0d:e0f',
      'cookie=db9bc2577fcc2a3f',
    ],
  ]);
});

const IPV4 = '4500 003c 0000 4000 4006 0000 0a00 0102 cb00 7107';
const TCP = 'c350 01bb 0102 0304 0000 0000';
const IPV6 =
  '6000 0000 0020 0640 2001 0db8 0000 0001 0000 0000 0000 0002 2001 0db8 0001 0000 0000 0000 0000 0002';

test('SYNs', () => {
  says('syn', [
    ['IPv4', hex(`${IPV4} ${TCP} 5002 ffff 0000 0000`), '10.0.1.2:50000 > 203.0.113.7:443 seq=16909060'],
    [
      'IPv6 with MP_CAPABLE',
      hex(`${IPV6} ${TCP} 6002 ffff 0000 0000 1e04 0181`),
      '[2001:db8:0:1::2]:50000 > [2001:db8:1::2]:443 seq=16909060',
    ],
    [
      'MP_JOIN',
      hex(`${IPV4} ${TCP} 8002 ffff 0000 0000 1e0c 1001 0000 0001 0000 0002`),
      '10.0.1.2:50000 > 203.0.113.7:443 seq=16909060 join',
    ],
    [
      'DST_OPT for IPv4, behind other options',
      hex(`${IPV4} ${TCP} 9002 ffff 0000 0000 0101 fd0a 4d42 1f90 c633 6401 0000 0000`),
      '10.0.1.2:50000 > 203.0.113.7:443 seq=16909060 destination=198.51.100.1:8080',
    ],
    [
      'DST_OPT for IPv6',
      hex(`${IPV6} ${TCP} 9002 ffff 0000 0000 fd0e 4d42 1f90 2001 0db8 00cc 00dd 0000`),
      '[2001:db8:0:1::2]:50000 > [2001:db8:1::2]:443 seq=16909060 destination=[2001:db8:cc:dd::2]:8080',
    ],
    [
      'DST_OPT for IPv6 in IPv4, which has no lower half of an address',
      hex(`${IPV4} ${TCP} 9002 ffff 0000 0000 fd0e 4d42 1f90 2001 0db8 00cc 00dd 0000`),
      '10.0.1.2:50000 > 203.0.113.7:443 seq=16909060',
    ],
    [
      'DST_OPT of the wrong length',
      hex(`${IPV4} ${TCP} 8002 ffff 0000 0000 fd0b 4d42 1f90 c633 6401 0000`),
      '10.0.1.2:50000 > 203.0.113.7:443 seq=16909060',
    ],
    [
      'somebody else’s experiment',
      hex(`${IPV4} ${TCP} 8002 ffff 0000 0000 fd0a 0001 1f90 c633 6401 0000`),
      '10.0.1.2:50000 > 203.0.113.7:443 seq=16909060',
    ],
    ['SYN/ACK', hex(`${IPV4} ${TCP} 5012 ffff 0000 0000`), 'no syn'],
    ['options beyond the packet', hex(`${IPV4} ${TCP} f002 ffff 0000 0000`), 'no syn'],
    ['a fragment', hex(`${IPV4.replace('0000 4000', '0000 2000')} ${TCP} 5002 ffff 0000 0000`), 'no syn'],
    ['UDP', hex(`${IPV4.replace('4006', '4011')} ${TCP} 5002 ffff 0000 0000`), 'no syn'],
    ['cut off', hex(IPV4), 'no syn'],
  ]);
});

test('the reset that refuses a SYN, and checksums', () => {
  const syn = hex(`${IPV4} ${TCP} 5002 ffff 0000 0000`);
  // The one's complement sum over pseudo header and segment, checksum included, is ffff.
  const sum = (packet: string): number => {
    const at = packet.startsWith('4') ? 20 : 40;
    const bytes = Buffer.from(packet, 'hex');
    const segment = bytes.subarray(at);
    const addresses = at === 20 ? bytes.subarray(12, 20) : bytes.subarray(8, 40);
    let total = 6 + segment.length;
    for (const part of [addresses, segment])
      for (let i = 0; i < part.length; i += 2) total += part.readUInt16BE(i);
    return (total & 0xffff) + (total >>> 16);
  };
  const run = (verb: string, packet: string): string =>
    execFileSync(program, { input: `${verb} ${packet}`, encoding: 'utf8' })
      .trim()
      .replace(/.*=/, '');
  const reset = run('refuse', syn);
  assert.equal(reset.slice(24, 40), hex('cb00 7107 0a00 0102'));
  assert.equal(reset.slice(40, 68), hex('01bb c350 0000 0000 0102 0305 5014'));
  assert.equal(sum(reset), 0xffff);
  assert.equal(sum(run('refuse', hex(`${IPV6} ${TCP} 6002 ffff 0000 0000 1e04 0181`))), 0xffff);
  assert.equal(sum(run('checksum', syn)), 0xffff);
});

test('destinations that a client may not name, unless the policy allows them (RFC 6890)', () => {
  const no = [
    '127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '169.254.1.1',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
  ];
  const no6 = [
    '::1',
    '::',
    'fe80::1',
    'fd00::1',
    'ff02::1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    '2002:a00:1::1',
  ];
  const yes = ['198.51.100.1', '172.32.0.1', '2001:db8::1', '64:ff9b::c633:6401', '::ffff:198.51.100.1'];
  says('access', [
    ...[...no, ...no6].map((ip) => [ip, ip, 'no'] as const),
    ...yes.map((ip) => [ip, ip, 'yes'] as const),
  ]);
  says('prefix', [
    ['inside', '10.1.0.0/17 10.1.127.255', 'yes'],
    ['outside', '10.1.0.0/17 10.1.128.0', 'no'],
    ['everything', '0.0.0.0/0 8.8.8.8', 'yes'],
    ['the other family', '::/96 0.0.0.1', 'no'],
    ['IPv6', '2001:db8::/33 2001:db8:7fff::1', 'yes'],
    ['one address', '2001:db8::1 2001:db8::2', 'no'],
    ['too many bits', '10.0.0.0/33 10.0.0.1', '?'],
  ]);
});

for (const [name, ...needs] of [
  ['convert', 'convert', 'address'],
  ['syn', 'syn', 'address'],
] as const) {
  test(`three seconds of libFuzzer break nothing in ${name}`, () => {
    const target = join(folder, `fuzz-${name}`);
    const flags = ['-g', '-O1', '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all'];
    execFileSync('clang', [...flags, '-o', target, join(CONVERTER, `fuzz/${name}.c`), ...sources(...needs)]);
    const corpus = join(CONVERTER, 'fuzz/corpus', name);
    assert.ok(readdirSync(corpus).length > 3);
    const found = mkdtempSync(join(folder, 'found-'));
    const { status, stderr } = spawnSync(target, ['-max_total_time=3', '-timeout=5', found, corpus], {
      cwd: folder,
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr.slice(-4000));
  });
}
