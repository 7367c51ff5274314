/**
 * A recorded scenario (test/scenarios) happens again, on this machine's kernel: the same interfaces, policy, hand
 * and loss must lead to the same decisions. test/sim plays the same file on the simulated kernel.
 */
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { after, test } from 'node:test';
import { describe } from '../../agent/execution.ts';
import type { Local } from '../../agent/model.ts';
import type { Line } from '../../agent/record.ts';
import { readRecording } from '../../agent/replay.ts';
import { controllers } from '../../controllers/all.ts';
import { eventually, TestDaemon } from './daemon.ts';
import { makeNetwork } from './namespaces.ts';
import { serve, takeDown, transfer } from './scene.ts';

/** So many decisions are compared: up to the first probe; the others only repeat it, each after a deadline. */
const COMPARED = 6;

const cleanups: (() => unknown)[] = [];
after(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

test('wifi-dies.jsonl: what was decided in the recording is decided again', async () => {
  const lines = await readRecording(createReadStream('test/scenarios/wifi-dies.jsonl'));
  const locals = lines.flatMap((line) => (line.kind === 'local' ? [line.local] : []));
  const interfaces = [...new Map(locals.map((local) => [local.ifname, local])).values()];
  const network = makeNetwork({ names: interfaces.map(({ ifname }) => ifname), sourceRouting: false });
  cleanups.push(() => network.remove());
  const daemon = await TestDaemon.start(network.client, policyOf(lines, interfaces));
  cleanups.push(() => daemon.stop());
  await serve(network.server, network.paths[0]!.server.ip4);
  transfer(network.client, network.paths[0]!.server.ip4, { bytes: 100_000_000, rate: 300_000 });
  const [connection] = await daemon.until(1, 1);
  const { token } = connection!;
  await daemon.event('established');

  const decided = async (count: number) =>
    eventually(`${count} decisions`, async () => {
      const { decisions } = await daemon.explain(token);
      return decisions.length >= count ? decisions.slice(0, count) : undefined;
    });
  let expected = 0;
  for (const line of lines) {
    if (line.kind === 'event' && line.event.kind === 'stalled') {
      const { ip } = line.event.local;
      await decided(expected);
      network.paths.find(({ client }) => client.ip4 === ip)!.loss(100);
      break;
    }
    if (line.kind === 'decision') expected += 1;
    if (line.kind !== 'by-hand' || line.command.kind !== 'open') continue;
    await decided(expected);
    const { local, backup } = line.command;
    await daemon.call('open', { token, from: local.ip, backup, why: line.why });
  }
  const recorded = lines.filter((line) => line.kind === 'decision').slice(0, COMPARED);
  assert.deepEqual(
    (await decided(COMPARED)).map(({ command, why }) => essence(command, why)),
    recorded.map(({ command, why }) => essence(command && describe(command), why)),
  );
  await takeDown(network, daemon);
});

/** The policy under which the recording was made. */
function policyOf(lines: readonly Line[], interfaces: readonly Local[]): object {
  const start = lines.find((line) => line.kind === 'start')!;
  const { controller, params } = lines.find((line) => line.kind === 'choice')!;
  const known = controllers.find(({ name }) => name === controller)!.params;
  const written = Object.entries(params).map(([name, value]) => [
    name,
    known[name]!.schema['type'] === 'string' ? `${value}ms` : value, // durations are the only texts of `backup`
  ]);
  return {
    openDeadline: `${start.openDeadline}ms`,
    interfaces: Object.fromEntries(
      interfaces.map(({ ifname, role, metered }) => [ifname, { role, metered }]),
    ),
    default: { controller, params: Object.fromEntries(written) },
  };
}

/** Ports are of one run, and so are the milliseconds of its timer. */
function essence(command: string | undefined, why: string): string {
  return `${command}: ${why}`.replace(/(\d):\d+/g, '$1').replace(/RTO \d+ ms/, 'RTO');
}
