/** The eBPF switch follows the policy: there while an app asks for MPTCP, refreshed meanwhile, gone after. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { AppSwitch } from '../../agent/apps/switch.ts';
import { ManualClock } from '../../agent/manual-clock.ts';
import { parsePolicy } from '../../agent/policy.ts';
import { controllers } from '../../controllers/all.ts';

async function apps(...mptcp: boolean[]) {
  const written = mptcp.map((on, i) => ({
    name: `app${i}`,
    match: { exe: `/app${i}` },
    controller: 'single',
    mptcp: on,
  }));
  return (await parsePolicy(JSON.stringify({ apps: written }), 'p.json', { controllers, uid: 0 })).apps;
}

/** A switch that notes what is done to it. */
function make(works: boolean) {
  const done: string[] = [];
  const clock = new ManualClock();
  const log = { warn: (_: object, text: string) => done.push(`warn ${text}`) };
  const open = () => {
    done.push('open');
    return {
      works,
      reason: '',
      configure(rules: readonly { name: string; mptcp: boolean }[]) {
        done.push(`configure ${rules.filter(({ mptcp }) => mptcp).map(({ name }) => name)}`);
        return works ? [] : ['no'];
      },
      refresh: () => done.push('refresh'),
      close: () => done.push('close'),
    };
  };
  return { appSwitch: new AppSwitch(open, { clock, log }), clock, take: () => done.splice(0) };
}

test('nothing is loaded while no app asks for MPTCP', async () => {
  const { appSwitch, clock, take } = make(true);
  appSwitch.configure(await apps(false));
  clock.advance(10_000);
  appSwitch.close();
  assert.deepEqual(take(), []);
});

test('loaded once, refreshed every two seconds, unloaded when the last app is gone', async () => {
  const { appSwitch, clock, take } = make(true);
  appSwitch.configure(await apps(true, false));
  assert.deepEqual(take(), ['open', 'configure app0']);
  clock.advance(4000);
  assert.deepEqual(take(), ['refresh', 'refresh']);
  appSwitch.configure(await apps(true, true));
  clock.advance(2000);
  assert.deepEqual(take(), ['configure app0,app1', 'refresh']);
  appSwitch.configure(await apps(false, false));
  assert.deepEqual(take(), ['close']);
  assert.equal(clock.waiting, 0);
});

test('where it cannot be, each reload says so, and nothing is refreshed', async () => {
  const { appSwitch, clock, take } = make(false);
  appSwitch.configure(await apps(true));
  appSwitch.configure(await apps(true));
  assert.deepEqual(take(), ['open', 'configure app0', 'warn no', 'configure app0', 'warn no']);
  assert.deepEqual(appSwitch.problems, ['no']);
  assert.equal(clock.waiting, 0);
});
