/** The rehearsal leads every controller of the policy through whole connections, and the kernel hears nothing of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machineClock } from '../../agent/clock.ts';
import { loadAddon } from '../../agent/netlink/addon.ts';
import { SocketDiag } from '../../agent/netlink/sock-diag.ts';
import { rehearse } from '../../agent/rehearsal.ts';
import { defineController } from '../../controllers/controller.ts';

const host = {
  version: '',
  pid: 1,
  kernel: '',
  epoch: 0,
  timeouts: () => '',
  problems: () => [],
  policy: () => ({ file: '', loaded: '' }),
  mayChange: () => false,
  reload: () => Promise.reject(new Error('not in a rehearsal')),
};

test('a rehearsal opens subflows that come up, over both families, and sends no command', () => {
  const addon = loadAddon();
  let requests = 0;
  class Counting extends addon.NetlinkSocket {
    override request(message: Uint8Array, length: number, reply: Uint8Array): number {
      requests += 1;
      return super.request(message, length, reply);
    }
  }
  const seen = {
    opened: 0,
    up: 0,
    failed: 0,
    closed: 0,
    families: new Set<boolean>(),
    sides: new Set<string>(),
  };
  const meshing = defineController({
    name: 'meshing',
    summary: 'opens one subflow',
    params: {},
    attach: (conn) => ({
      established() {
        seen.sides.add(conn.side);
        const local = conn.locals.find(({ ip }) => ip.includes(':') === conn.remotes[0]!.ip.includes(':'))!;
        conn.do({ kind: 'open', local, remote: conn.remotes[0]!, backup: false }, 'to be seen');
        seen.opened += 1;
      },
      subflowUp(subflow, opened) {
        assert.ok(opened);
        seen.up += 1;
        seen.families.add(subflow.local.ip.includes(':'));
      },
      failed: () => {
        seen.failed += 1;
      },
      closed: () => {
        seen.closed += 1;
      },
    }),
  });
  const stranger = defineController({
    name: 'stranger',
    summary: "a third party's",
    params: {},
    attach: () => assert.fail('was fooled'),
  });
  const counting = { ...addon, NetlinkSocket: Counting };
  const sockets = new SocketDiag(addon);
  const policy = { apps: [], default: { controller: meshing, params: {} } };
  const stage = {
    addon: counting,
    sockets,
    clock: machineClock,
    random: Math.random,
    host,
    userspaceNow: () => true,
  };
  for (const _ of rehearse({ ...stage, policy, controllers: [meshing] }, 1000));
  assert.equal(requests, 2, 'each of two casts asks for the family');
  assert.ok(seen.opened > 100);
  assert.ok(seen.failed > 10);
  assert.deepEqual([seen.up + seen.failed, seen.closed], [seen.opened, seen.opened]);
  assert.deepEqual([seen.families.size, seen.sides.size], [2, 2]);

  const foreign = { apps: [], default: { controller: stranger, params: {} } };
  for (const _ of rehearse({ ...stage, policy: foreign, controllers: [meshing] }, 1000));
  sockets.close();
});
