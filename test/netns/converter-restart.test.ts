/** What must outlive a reload of the policy, and the death of the data path or of the agent. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import test, { after, before, beforeEach, describe } from 'node:test';
import { alive, makeWorld, PORT, ROOT, SERVER, transparent, until, type World } from './converter.ts';

const TO = `${SERVER}:${PORT}`;

function hostState(world: World): string[] {
  return [
    world.gate.run('nft', 'list', 'ruleset'),
    ...['-4', '-6'].flatMap((family) => [
      world.gate.run('ip', family, 'rule'),
      world.gate.run('ip', family, 'route', 'show', 'table', 'all', 'type', 'local', 'proto', 'static'),
    ]),
  ];
}

describe('the converter survives', () => {
  let world: World;
  let clean: string[];

  before(async () => {
    world = makeWorld();
    await world.serve();
  });
  beforeEach(async () => {
    await world.converter.stop();
    clean = hostState(world);
    await world.converter.start(transparent());
  });
  after(() => world.remove());

  test('a reload: transfers go on in the old process, clients that come meanwhile are all served', async () => {
    const old = world.dataPath();
    const long = world.load(world.client, ['slow', TO, 30_000_000, 6000]);
    await until(
      () => world.connections(),
      ([first]) => (first?.bytes_down ?? 0) > 0,
    );
    const short = world.run('get', TO, 1024, 1500, 10);
    await world.converter.reload(transparent({ synOpen: 'hold' }));
    await world.converter.reload(transparent({ synOpen: 'off', batch: '64KiB' }));
    const { done, bad } = await short;
    assert.deepEqual({ done, bad }, { done: 1500, bad: 0 });
    assert.notEqual(world.dataPath(), old);
    const { got, bad: damaged } = await long.result;
    assert.deepEqual({ got, damaged }, { got: 30_000_000, damaged: 0 });
    await until(
      () => alive(old),
      (runs) => !runs,
    );
  });

  test('a policy that cannot be had: what runs goes on', async () => {
    const old = world.dataPath();
    await assert.rejects(
      world.converter.reload(transparent({ explicit: { listen: ['192.0.2.1:5124'] } })),
      /192\.0\.2\.1:5124/,
    );
    assert.equal(world.dataPath(), old);
    assert.equal((await world.run('get', TO, 1024, 10, 1))['done'], 10);
  });

  test('SIGKILL of the data path: another one takes its place', async () => {
    const old = world.dataPath();
    const cut = world.load(world.client, ['slow', TO, 50_000_000, 5000]);
    await until(
      () => world.connections(),
      ({ length }) => length === 1,
    );
    process.kill(old, 'SIGKILL');
    await until(
      () => world.converter.pid,
      (pid) => pid !== undefined && pid !== old,
    );
    assert.ok(Number((await cut.result)['got']) < 50_000_000);
    assert.equal((await world.run('get', TO, 1024, 100, 10))['done'], 100);
  });

  test('SIGKILL of the agent: transfers go on, the next agent takes over and leaves nothing at its end', async () => {
    await world.converter.stop();
    const written = { transparent: { interfaces: ['path0', 'path1'], ports: [PORT] }, allow: ['10.0.0.0/8'] };
    const args = [
      join(ROOT, 'dist/test/netns/converter-agent.js'),
      world.folder,
      world.gate.path,
      JSON.stringify(written),
    ];
    const agent = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(agent.stdout, 'data');
    const orphan = Number(line);
    const long = world.load(world.client, ['slow', TO, 10_000_000, 5000]);
    await until(
      () => world.connections(),
      ({ length }) => length === 1,
    );
    agent.kill('SIGKILL');
    await once(agent, 'exit');
    assert.equal((await world.run('get', TO, 1024, 100, 10))['done'], 100);

    const next = world.another();
    await next.start(transparent());
    assert.notEqual(next.pid, orphan);
    assert.equal((await world.run('get', TO, 1024, 100, 10))['done'], 100);
    const { got, bad } = await long.result;
    assert.deepEqual({ got, bad }, { got: 10_000_000, bad: 0 });
    await until(
      () => alive(orphan),
      (runs) => !runs,
    );
    await next.stop();
    assert.deepEqual(hostState(world), clean);
  });

  test('stopping puts everything back', async () => {
    assert.notDeepEqual(hostState(world), clean);
    const { pid } = world.converter;
    await world.converter.stop();
    assert.deepEqual(hostState(world), clean);
    assert.ok(!alive(pid!));
  });
});
