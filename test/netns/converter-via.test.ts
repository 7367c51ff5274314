/** DST_OPT: an application that knows nothing of the converter goes through it because the policy says so. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { loadProgram, makeWorld, PORT, policy, ROOT, SERVER, until, type World } from './converter.ts';

const AGENT = join(ROOT, 'dist/test/netns/converter-via-agent.js');
/** The converter's name, by which it has an IPv4 address and a network of its own. */
const NAME = 'converter.test';
const HOSTS = `10.0.1.1 ${NAME}\n2001:db8:c:: ${NAME}\n`;
const SERVER6 = '[2001:db8:1::2]';
const REFUSED = 111;

/** An app as the policy has it, known by its program. */
function app(exe: string, via: string | undefined): object {
  return { name: 'some', match: { exe: [exe] }, ...(via === undefined ? {} : { via }) };
}

/** An agent that has the converter's name in an /etc/hosts of its own. */
function startAgent(world: World, via: string): ReturnType<World['client']['start']> {
  const hosts = join(world.folder, 'hosts');
  writeFileSync(hosts, HOSTS);
  const script = 'mount --bind "$1" /etc/hosts && exec "$2" "$3" "$4"';
  const apps = JSON.stringify([app(loadProgram(), via)]);
  const args = ['--mount', 'sh', '-c', script, 'sh', hosts, process.execPath, AGENT, apps];
  return world.client.start('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'] });
}

for (const synOpen of ['off', 'parallel', 'hold'] as const) {
  describe(`an app that goes via a converter, server's side at SYN time: ${synOpen}`, () => {
    let world: World;
    let agent: ReturnType<World['client']['start']>;

    before(async () => {
      world = makeWorld();
      await world.serve();
      await world.converter.start(
        policy({
          explicit: { listen: ['0.0.0.0:5124', '[::]:5124'], networks: ['2001:db8:c::/64'] },
          allow: [`${SERVER}/32`, '2001:db8:1::2/128'],
          synOpen,
        }),
      );
      agent = startAgent(world, `${NAME}:5124`);
      assert.equal(String((await once(agent.stdout!, 'data'))[0]).trim(), 'ready');
    });
    after(async () => {
      agent.stdin!.end();
      await world.remove();
    });

    test('every byte arrives, MPTCP and TCP, and the converter is told where to go by the SYN', async () => {
      for (const [server, ...protocol] of [[SERVER], [SERVER, '-t'], [SERVER6], [SERVER6, '-t']]) {
        const before = await world.stats();
        const result = await world.run('both', ...protocol, `${server}:${PORT}`, 3_000_000);
        const { down, down_bad, up, up_bad } = result;
        assert.deepEqual(
          { down, down_bad, up, up_bad },
          { down: 3_000_000, down_bad: 0, up: 3_000_000, up_bad: 0 },
        );
        const { dst_opt, opened, accepted_mptcp } = await world.stats();
        assert.equal(dst_opt, Number(before['dst_opt']) + 1);
        assert.equal(opened, Number(before['opened']) + 1);
        assert.equal(accepted_mptcp, Number(before['accepted_mptcp']) + (protocol.length === 0 ? 1 : 0));
      }
    });

    test('the application sees the peer that it asked for', async () => {
      for (const [server, ...protocol] of [[SERVER], [SERVER, '-t'], [SERVER6], [SERVER6, '-t']]) {
        const { peer } = await world.run('peer', ...protocol, `${server}:${PORT}`, 1);
        assert.equal(peer, `${server}:${PORT}`);
      }
      await until(
        () => world.stats(),
        ({ active }) => active === 0,
      );
    });

    test('500 short connections', async () => {
      for (const server of [SERVER, SERVER6]) {
        const { done, bad } = await world.run('get', `${server}:${PORT}`, 1024, 250, 20);
        assert.deepEqual({ done, bad }, { done: 250, bad: 0 });
      }
    });

    test('a server that refuses, and one that may not be reached', async () => {
      for (const server of [SERVER, SERVER6]) {
        const refused = await world.run('get', `${server}:9`, 10, 1, 1);
        assert.equal(refused['done'], 0);
        if (synOpen === 'hold') assert.equal(refused['error'], REFUSED);
      }
      for (const server of ['10.1.0.77', '[fd00::77]']) {
        const forbidden = await world.run('get', `${server}:${PORT}`, 10, 1, 1);
        assert.equal(forbidden['done'], 0);
      }
      await until(
        () => world.stats(),
        ({ active }) => active === 0,
      );
    });

    test('other applications go their own way', async () => {
      const before = await world.stats();
      const script = `require('net').connect(${PORT}, '${SERVER}', function () { console.log(this.remoteAddress); this.destroy(); })`;
      assert.equal(world.client.run('node', '-e', script).trim(), SERVER);
      assert.equal((await world.stats())['accepted'], before['accepted']);
    });
  });
}
