/** The agent itself: deadlines, resync, lost events, controllers that misbehave, changes of policy. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineController, type Failure, type Handlers } from '../../controllers/controller.ts';
import ndiffports from '../../controllers/ndiffports.ts';
import { Simulation } from './simulation.ts';

const CLIENT = { ip: '10.0.0.1', port: 5000 };
const SERVER = { ip: '10.1.0.1', port: 80 };

/** A controller made of the handlers that a test gives. */
function withHandlers(make: (conn: Parameters<typeof ndiffports.attach>[0]) => Handlers) {
  return defineController({ name: 'test', summary: '', params: {}, attach: make });
}

function connected(controller: ConstructorParameters<typeof Simulation>[0]): Simulation {
  const sim = new Simulation(controller, ['10.0.0.1%wlan0', '100.64.0.1%wwan0']);
  sim.kernel.connect(7, CLIENT, SERVER);
  return sim;
}

test("an open that is never answered fails by the agent's deadline, and names its command", () => {
  const failures: [string, Failure][] = [];
  const sim = connected(
    withHandlers((conn) => ({
      established: () =>
        conn.do({ kind: 'open', local: conn.locals[1]!, remote: conn.remotes[0]!, backup: false }, 'test'),
      failed: (command, failure) => failures.push([command.kind, failure]),
    })),
  );
  sim.kernel.paths.set('100.64.0.1', 'silent');
  sim.kernel.connect(8, CLIENT, SERVER);
  sim.clock.advance(4999);
  assert.equal(sim.agent.connections.get(8)?.opening.length, 1);
  sim.clock.advance(1);
  assert.deepEqual(failures, [['open', { errno: 110, message: 'no answer within 5000 ms' }]]);
  assert.equal(sim.agent.connections.get(8)?.opening.length, 0);
});

test('each open ends in one subflowUp or one failed', () => {
  const ends: string[] = [];
  const sim = connected(
    withHandlers((conn) => ({
      established() {
        for (const local of conn.locals)
          conn.do({ kind: 'open', local, remote: conn.remotes[0]!, backup: false }, 'test');
      },
      subflowUp: (_, opened) => ends.push(`up ${opened?.local.ifname}`),
      failed: (command) => ends.push(`failed ${command.kind === 'open' && command.local.ifname}`),
    })),
  );
  sim.clock.advance(30_000);
  assert.deepEqual(ends.sort(), ['up wlan0', 'up wwan0']);
});

test('after lost events a resync finds what was missed, and what has gone', () => {
  const sim = connected(ndiffports);
  sim.clock.advance(100);
  sim.agent.hold();
  sim.kernel.connect(8, { ip: '10.0.0.1', port: 6000 }, SERVER); // lost: replaced by the snapshot
  sim.kernel.lose(7, '10.0.0.1', 104);
  const snapshot = sim.kernel.snapshot();
  sim.agent.resync(snapshot);
  assert.deepEqual([...sim.agent.connections.keys()].sort(), [7, 8]);
  assert.deepEqual(
    sim.agent.connections.get(7)?.subflows.map(({ local }) => local.port),
    [40000],
  );
  sim.agent.hold();
  sim.agent.resync({ connections: snapshot.connections.filter(({ token }) => token === 8) });
  assert.deepEqual([...sim.agent.connections.keys()], [8]);
});

test('events that come during a resync are applied after it, and twice does no harm', () => {
  const sim = connected(ndiffports);
  sim.agent.hold();
  const before = sim.kernel.snapshot();
  sim.kernel.connect(8, { ip: '10.0.0.1', port: 6000 }, SERVER);
  sim.kernel.end(7);
  sim.agent.resync(before);
  assert.deepEqual([...sim.agent.connections.keys()], [8]);
  sim.agent.resync(sim.kernel.snapshot());
  assert.deepEqual([...sim.agent.connections.keys()], [8]);
  assert.equal(sim.agent.connections.get(8)?.subflows.length, 1);
});

test('a restarted agent finds connections and starts their controllers', () => {
  const old = connected(ndiffports);
  old.clock.advance(100);
  const sim = new Simulation(ndiffports, ['10.0.0.1%wlan0'], { subflows: 3 });
  sim.agent.resync(old.kernel.snapshot());
  const connection = sim.agent.connections.get(7);
  assert.equal(connection?.subflows.length, 2);
  assert.equal(connection?.found, true);
  assert.equal(connection?.opening.length, 1);
});

test('connections of the in-kernel manager are seen and never commanded', () => {
  const sim = new Simulation(ndiffports, ['10.0.0.1%wlan0']);
  sim.kernel.inKernel.add(7);
  sim.kernel.connect(7, CLIENT, SERVER);
  sim.clock.advance(1000);
  assert.equal(sim.agent.connections.get(7)?.subflows.length, 1);
  assert.equal(
    sim.trace.some((line) => line.includes('open')),
    false,
  );
  const failure = sim.agent.command(
    sim.agent.connections.get(7)!,
    { kind: 'withdraw', local: sim.locals[0]! },
    'by hand',
  );
  assert.match(failure?.message ?? '', /in-kernel path manager/);
});

test('a controller that throws loses its connection; others go on', () => {
  const sim = connected(
    withHandlers((conn) => ({
      subflowUp() {
        if (conn.token === 7) throw new Error('oops');
        conn.note('fine');
      },
    })),
  );
  sim.kernel.connect(8, { ip: '10.0.0.1', port: 6000 }, SERVER);
  for (const token of [7, 8]) sim.kernel.join(token, CLIENT, { ip: '10.1.1.1', port: 9000 }, 2);
  assert.match(
    sim.agent.connections.get(7)?.trail?.decisions.at(-1)?.why ?? '',
    /failed in subflowUp and was taken off: Error: oops/,
  );
  assert.equal(sim.agent.connections.get(8)?.trail?.decisions.at(-1)?.why, 'fine');
});

test('a controller that answers each failure with the same command is stopped', () => {
  let tries = 0;
  const sim = connected(
    withHandlers((conn) => ({
      established: () => conn.do({ kind: 'withdraw', local: conn.locals[0]! }, 'again'),
      failed: (command) => {
        tries += 1;
        conn.do(command, 'again');
      },
    })),
  );
  sim.kernel.refuse = () => ({ errno: 22, message: 'no' });
  sim.kernel.end(7);
  sim.kernel.connect(7, CLIENT, SERVER);
  assert.ok(tries > 0 && tries < 1000, String(tries));
});

test('a connection that ends leaves no timer behind', () => {
  const sim = connected(ndiffports);
  sim.kernel.lose(7, '10.0.0.1', 104);
  sim.kernel.end(7);
  sim.clock.advance(0);
  assert.equal(sim.clock.waiting, 1, "only the simulated kernel's own answer to the open");
});

test('a new policy starts controllers anew only where something changed', () => {
  let attached = 0;
  const counting = withHandlers(() => {
    attached += 1;
    return {};
  });
  const sim = connected(counting);
  const choice = { app: 'x', controller: counting, params: {}, why: '' };
  sim.agent.configure({ choose: () => choice, openDeadline: 1 });
  assert.equal(attached, 1);
  assert.equal(sim.agent.connections.get(7)?.app, 'x');
  sim.agent.configure({
    choose: () => ({ ...choice, controller: ndiffports, params: { subflows: 2, retry: 1 } }),
    openDeadline: 1,
  });
  assert.equal(sim.agent.connections.get(7)?.opening.length, 1);
});

test('what we close ends as closed by us, whatever the kernel calls it', () => {
  const errnos: number[] = [];
  const sim = connected(
    withHandlers((conn) => ({
      subflowUp: (subflow) => conn.do({ kind: 'close', subflow }, 'test'),
      subflowDown: (_, errno) => errnos.push(errno),
    })),
  );
  sim.kernel.closedErrno = 0;
  sim.kernel.join(7, CLIENT, { ip: '10.1.1.1', port: 9000 }, 2);
  sim.clock.advance(1);
  sim.kernel.lose(7, '10.0.0.1', 104);
  assert.deepEqual(errnos, [103, 104]);
});
