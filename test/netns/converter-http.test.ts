/** HTTP proxy mode: clients that know nothing but a proxy setting, by MPTCP and by TCP. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { makeWorld, PORT, policy, SERVER, until, type World } from './converter.ts';

const PROXY = '10.0.1.1:3128';

const proxy = (...ports: number[]) =>
  policy({
    http: { listen: '0.0.0.0:3128', connectPorts: [PORT, ...ports] },
    allow: [`${SERVER}/32`],
    synOpen: 'off',
  });

describe('the HTTP proxy of the converter', () => {
  let world: World;

  before(async () => {
    world = makeWorld();
    await world.serve();
    await world.converter.start(proxy());
  });
  after(() => world.remove());

  test('plain requests get through, whole', async () => {
    for (const protocol of [[], ['-t']]) {
      const { done, bad } = await world.run(
        'get',
        '-H',
        `${SERVER}:${PORT}`,
        ...protocol,
        PROXY,
        200_000,
        50,
        10,
      );
      assert.deepEqual({ done, bad }, { done: 50, bad: 0 });
    }
    const { accepted, accepted_mptcp } = await world.stats();
    assert.deepEqual([accepted, accepted_mptcp], [100, 50]);
  });

  test('CONNECT gives a tunnel to the ports that the policy names, and to no others', () => {
    assert.equal(connect(world, `${SERVER}:${PORT}`, 'get 5\\n'), '200, then 5 bytes');
    assert.match(connect(world, `${SERVER}:22`, ''), /^403,/);
  });

  test('private destinations are refused', () => {
    for (const target of [`10.1.0.77:${PORT}`, `127.0.0.1:${PORT}`, `10.0.1.2:${PORT}`]) {
      assert.match(connect(world, target, ''), /^403,/, target);
    }
  });

  test('two changes at once come one after the other', async () => {
    const squids = () =>
      world.gate.run('sh', '-c', `ip netns pids ${world.gate.name} | xargs -r ps -o comm= -p`);
    await Promise.all([world.converter.reload(proxy(81)), world.converter.reload(proxy(82))]);
    assert.equal(squids().match(/squid/g)?.length, 1);
    assert.match(connect(world, `${SERVER}:81`, ''), /^403,/);
    assert.doesNotMatch(connect(world, `${SERVER}:82`, ''), /^403,/);
  });

  test('Squid that dies is started again', async () => {
    const squids = () =>
      world.gate.run('sh', '-c', `ip netns pids ${world.gate.name} | xargs -r ps -o pid=,comm= -p`);
    const pid = /(\d+) squid/.exec(squids())![1]!;
    process.kill(Number(pid), 'SIGKILL');
    await until(squids, (text) => /squid/.test(text) && !text.includes(` ${pid} squid`), 10_000);
    await until(
      () => world.run('get', '-H', `${SERVER}:${PORT}`, PROXY, 1000, 1, 1),
      ({ done }) => done === 1,
      10_000,
    );
  });
});

/** Asks for a tunnel, sends `then` through it, and returns the status and how much came after the answer's head. */
function connect(world: World, target: string, then: string): string {
  const script = `const s = require('net').connect(3128, '10.0.1.1');
    s.write('CONNECT ${target} HTTP/1.1\\r\\nHost: ${target}\\r\\n\\r\\n');
    let all = ''; let asked = false; s.setEncoding('latin1');
    s.on('data', (part) => { all += part; if (!asked && all.includes('\\r\\n\\r\\n')) { asked = true; if (/^HTTP\\/1.1 200/.test(all)) s.write('${then}'); else s.end(); } });
    s.on('end', () => { const [head, ...body] = all.split('\\r\\n\\r\\n'); console.log(head.split(' ')[1] + ', then ' + body.join('....').length + ' bytes'); s.destroy(); }); s.setTimeout(5000, () => s.destroy());`;
  return world.client.run('node', '-e', script).trim();
}
