/** Explicit mode by RFC 8803: clients that say where they want to, and what each error of the RFC is sent for. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { makeWorld, PORT, policy, SERVER, until, type World } from './converter.ts';

const DOOR = '10.0.1.1:5124';
const DOOR6 = '[2001:db8:0:1::1]:5124';
const SERVER6 = '[2001:db8:1::2]';

/** RFC 8803, section 4.2.8. */
const ERRORS = {
  unsupportedVersion: 0,
  malformed: 1,
  unsupportedMessage: 2,
  missingCookie: 3,
  notAuthorized: 32,
  unsupportedOption: 33,
  resourceExceeded: 64,
  networkFailure: 65,
  connectionReset: 96,
  destinationUnreachable: 97,
} as const;

const hex = (...words: string[]): string => words.join('').replaceAll(' ', '');
/** Port 8000 of the server. */
const CONNECT = hex('0a05 1f40', '0000 0000 0000 0000 0000 ffff 0a01 0002');

function explicit(more: object = {}): ReturnType<typeof policy> {
  return policy({
    explicit: { listen: ['0.0.0.0:5124', '[::]:5124'], ...more },
    allow: [`${SERVER}/32`, '10.1.0.77/32', '10.9.0.0/16', '2001:db8::/32'],
    requestTimeout: '1s',
    connectTimeout: '1s',
  });
}

/** Sends these bytes to the door, and resolves to what comes back until it ends, both in hexadecimal. */
function say(world: World, message: string): string {
  const script = `const s = require('net').connect(5124, '10.0.1.1', () => s.write(Buffer.from('${message}', 'hex')));
    let all = ''; s.setEncoding('hex'); s.on('data', (part) => all += part); s.on('close', () => console.log(all)); s.on('error', () => {});`;
  return world.client.run('node', '-e', script).trim();
}

describe('an explicit converter', () => {
  let world: World;

  before(async () => {
    world = makeWorld();
    world.client.sysctl({ 'net.ipv4.tcp_fastopen': 1 | 4 });
    world.gate.sysctl({ 'net.ipv4.tcp_fastopen': 2 | 0x200 });
    world.gate.ip('route add unreachable 10.9.0.0/16\n');
    await world.serve();
    await world.converter.start(explicit());
  });
  after(() => world.remove());

  test('every byte arrives, both ways, IPv4 and IPv6, MPTCP and TCP', async () => {
    for (const [via, server] of [
      [DOOR, SERVER],
      [DOOR6, SERVER6],
      [DOOR, SERVER6],
    ]) {
      for (const protocol of [[], ['-t']]) {
        const result = await world.run('both', ...protocol, '-v', via!, `${server}:${PORT}`, 5_000_000);
        const { down, down_bad, up, up_bad } = result;
        assert.deepEqual(
          { down, down_bad, up, up_bad },
          { down: 5_000_000, down_bad: 0, up: 5_000_000, up_bad: 0 },
          `${via} ${server}`,
        );
      }
    }
  });

  test('the request travels in the SYN where the kernel has Fast Open, and costs no round trip', async () => {
    // Of some hundred one is answered before the handshake's third packet has come.
    const CLIENTS = 400;
    const before = world.counter(world.gate, 'TcpExtTCPFastOpenPassive');
    for (const protocol of [[], ['-t']]) {
      const { done, bad } = await world.run(
        'get',
        '-f',
        ...protocol,
        '-v',
        DOOR,
        `${SERVER}:${PORT}`,
        1024,
        CLIENTS,
        2,
      );
      assert.deepEqual({ done, bad }, { done: CLIENTS, bad: 0 });
    }
    assert.ok(world.counter(world.gate, 'TcpExtTCPFastOpenPassive') >= before + CLIENTS);
  });

  test('what cannot be had is refused with the error that the RFC has for it', async () => {
    for (const [server, error] of [
      [`${SERVER}:9`, ERRORS.connectionReset],
      [`127.0.0.1:${PORT}`, ERRORS.notAuthorized],
      [`10.0.1.2:${PORT}`, ERRORS.notAuthorized],
      [`[::1]:${PORT}`, ERRORS.notAuthorized],
      [`[fe80::1]:${PORT}`, ERRORS.notAuthorized],
      [`10.9.0.1:${PORT}`, ERRORS.destinationUnreachable],
      [`10.1.0.77:${PORT}`, ERRORS.networkFailure],
    ] as const) {
      const { done, refusal } = await world.run('get', '-v', DOOR, server, 10, 1, 1);
      assert.deepEqual({ server, done, refusal }, { server, done: 0, refusal: error });
    }
  });

  test('without a free port toward the server, resources are exceeded', async () => {
    const before = world.gate.readSysctl('net.ipv4.ip_local_port_range');
    world.gate.sysctl({ 'net.ipv4.ip_local_port_range': '2000 2001' });
    const idle = world.load(world.client, ['idle', '-v', DOOR, `${SERVER}:${PORT}`, 2]);
    try {
      assert.equal((await idle.line)['open'], 2);
      const { done, refusal } = await world.run('get', '-v', DOOR, `${SERVER}:${PORT}`, 10, 1, 1);
      assert.deepEqual({ done, refusal }, { done: 0, refusal: ERRORS.resourceExceeded });
    } finally {
      idle.child.stdin!.end();
      await idle.result;
      world.gate.sysctl({ 'net.ipv4.ip_local_port_range': before });
    }
  });

  test('messages: answered byte by byte', () => {
    for (const [what, message, answer] of [
      ['another version', '02072263', '0102 2263 1e01 00 01'],
      ['no magic number', '01010000', '0102 2263 1e01 01 00'],
      ['no TLV at all', '01012263', '0102 2263 1e01 01 00'],
      ['a TLV of no length', hex('0102 2263', '0a00 0000'), '0102 2263 1e01 01 00'],
      ['a TLV longer than the message', hex('0102 2263', '0a05 1f40'), '0102 2263 1e01 01 00'],
      ['Connect twice', hex('010b 2263', CONNECT, CONNECT), '0102 2263 1e01 01 00'],
      ['an unknown TLV', hex('0102 2263', '2a01 0000'), '0102 2263 1e01 02 2a'],
      ['an error, which is not for clients to send', hex('0102 2263', '1e01 6000'), '0102 2263 1e01 01 00'],
      [
        'options that cannot be had: User Timeout and MD5',
        hex('0108 2263', '0a07', CONNECT.slice(4), '1c04 0001', '1302 0100'),
        '0103 2263 1e02 21 1c 1300 0000',
      ],
      ['Info', hex('0102 2263', '0101 0000'), '0104 2263 1503 0000 0203 0408 1e00 0000'],
    ] as const) {
      assert.equal(say(world, message), hex(answer), what);
    }
  });

  test('the answer tells the options of the server’s SYN/ACK', () => {
    const answer = say(world, hex('0106 2263', CONNECT, Buffer.from('get 3\n').toString('hex')));
    // MSS 1460, SACK permitted, a window scale.
    assert.match(answer, /^01052263140400000204(05b4|05a8)04020303\d[\da-f]000000/);
    assert.equal(answer.length, (20 + 3) * 2);
  });

  test('clients that never say where they want to are let go', async () => {
    const { request_timeout } = await world.stats();
    assert.equal(say(world, '0106'), '');
    await until(
      () => world.stats(),
      (now) => now['request_timeout'] === Number(request_timeout) + 1 && now['active'] === 0,
    );
  });
});

describe('an explicit converter that asks for cookies', () => {
  let world: World;

  before(async () => {
    world = makeWorld();
    await world.serve();
    await world.converter.start(explicit({ cookies: true }));
  });
  after(() => world.remove());

  test('clients learn theirs by the first refusal; a wrong one is not authorized', async () => {
    assert.match(say(world, hex('0106 2263', CONNECT)), /^010522631e01030016030000[\da-f]{16}$/);
    const learned = await world.run('get', '-v', DOOR, `${SERVER}:${PORT}`, 1024, 1, 1);
    assert.equal(learned['done'], 1);
    const wrong = await world.run(
      'get',
      '-v',
      DOOR,
      '-c',
      '0011223344556677',
      `${SERVER}:${PORT}`,
      1024,
      1,
      1,
    );
    assert.deepEqual([wrong['done'], wrong['refusal']], [0, ERRORS.notAuthorized]);
  });

  test('a thousand idle connections hold less than 30 KB each, and no time of the processor', async () => {
    const COUNT = 1000;
    const before = await world.stats();
    const idle = world.load(world.client, ['idle', '-v', DOOR, `${SERVER}:${PORT}`, COUNT]);
    assert.equal((await idle.line)['open'], COUNT);
    const { active, rss_bytes } = await until(
      () => world.stats(),
      (now) => now['active'] === COUNT,
    );
    assert.ok((rss_bytes - before.rss_bytes) / Number(active) < 30 << 10);
    const spent = world.processorTicks();
    await new Promise((done) => setTimeout(done, 1000));
    assert.ok(world.processorTicks() - spent <= 5);
    idle.child.stdin!.end();
    await until(
      () => world.stats(),
      (now) => now['active'] === 0,
    );
  });
});
