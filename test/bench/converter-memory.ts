/** What connections take of memory, and what they lose when they get less (HotMiddlebox'13, section 4.4). */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DataPathStats, readStats } from '../../agent/converter/status.ts';
import { makeWorld, processorTicks, SERVER, until } from '../netns/converter.ts';
import { Namespace } from '../netns/namespaces.ts';
import { ask, control, type Progress, RATE, ROUNDS, Samples, startConverter } from './converter-common.ts';
import { insertWire } from './converter-delays.ts';
import { GATE, MPTCP_PORT } from './converter-rivals.ts';
import type { Row } from './results.ts';

/** Memory of connections on which nothing happens, in three processes: a hard limit of 20,000 files is common. */
export async function idle(progress: Progress): Promise<Row[]> {
  const COUNT = 20_000;
  const ports = [9100, 9101, 9102];
  progress(`${COUNT} idle connections`);
  const samples = new Samples();
  const world = makeWorld(RATE, 1);
  try {
    for (const port of ports) {
      await world.serve(port, 'sink');
      startConverter(world, port, 'off', port);
    }
    const stats = () => Promise.all(ports.map((port) => readStats(control(world, port))));
    const sum = (of: readonly DataPathStats[], name: string) =>
      of.reduce((total, one) => total + Number(one[name]), 0);
    await until(
      () => stats().catch(() => undefined),
      (all) => all !== undefined,
    );
    const slab = () => 1024 * Number(/^Slab:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))![1]);
    const before = { slab: slab(), rss: sum(await stats(), 'rss_bytes') };
    const loads = ports.map((port) =>
      world.load(world.client, ['idle', `${GATE}:${port}`, Math.round(COUNT / ports.length)]),
    );
    const opened = await Promise.all(loads.map(({ line }) => line));
    const open = opened.reduce((total, line) => total + Number(line['open']), 0);
    await until(stats, (all) => sum(all, 'active') === open, 20_000);
    await sleep(1000);
    const all = await stats();
    const condition = `connections=${open}`;
    // Client and server are on this machine too, and hold the same two sockets.
    samples.add('converter', condition, 'memory_kernel', 'B', (slab() - before.slab) / 2 / open);
    samples.add('converter', condition, 'memory_program', 'B', (sum(all, 'rss_bytes') - before.rss) / open);
    const ticks = () => all.reduce((total, { pid }) => total + processorTicks(pid), 0);
    const spent = ticks();
    await sleep(5000);
    samples.add('converter', condition, 'processor_at_rest', '%', (ticks() - spent) / 5);
    for (const { child } of loads) child.stdin!.end();
    await Promise.all(loads.map(({ result }) => result));
    return samples.rows();
  } finally {
    await world.remove();
  }
}

/**
 * Goodput over the memory of the converter's sockets: figure 6. A phone with ADSL (8 Mbit/s down, 512 kbit/s up,
 * 20 ms) and 3G (2 Mbit/s, 256 kbit/s, 80 ms), both in use.
 */
export async function buffers(progress: Progress): Promise<Row[]> {
  const samples = new Samples();
  const world = makeWorld('100mbit', 2);
  const wires = [new Namespace('adsl'), new Namespace('umts')];
  try {
    await world.serve();
    await world.serve(MPTCP_PORT, 'mptcp');
    for (const [path, us, down, up] of [
      [0, 10_000, '8mbit', '512kbit'],
      [1, 40_000, '2mbit', '256kbit'],
    ] as const) {
      await insertWire(world, wires[path]!, path, us);
      shape(world.gate, path, down);
      shape(world.client, path, up);
    }
    world.client.run('ip', 'mptcp', 'endpoint', 'flush');
    world.client.run('ip', 'mptcp', 'endpoint', 'add', '10.0.2.2', 'dev', 'path1', 'subflow');
    startConverter(world, 9100, 'parallel');
    await sleep(500);
    const through = { name: 'converter', to: `${GATE}:9100` };
    for (let round = 1; round <= Math.min(ROUNDS, 3); round++) {
      progress(`goodput over buffers, round ${round}`);
      const direct = await ask(world, { name: 'forward', to: `${SERVER}:${MPTCP_PORT}` }, 4_000_000, 1, 1);
      samples.add('forward', 'buffer=default', 'goodput', 'Mbit/s', direct['mbits'] as number);
      for (const kilobytes of [25, 50, 100, 200, 400, 800]) {
        const most = kilobytes * 1000;
        const three = `4096 ${Math.min(most, 87_380)} ${most}`;
        world.gate.sysctl({ 'net.ipv4.tcp_rmem': three, 'net.ipv4.tcp_wmem': three });
        const bulk = await ask(world, through, 4_000_000, 1, 1);
        samples.add('converter', `buffer=${kilobytes}kB`, 'goodput', 'Mbit/s', bulk['mbits'] as number);
      }
    }
    return samples.rows();
  } finally {
    for (const wire of wires) wire.remove();
    await world.remove();
  }
}

function shape(namespace: Namespace, path: number, rate: string): void {
  const device = `path${path}`;
  namespace.run(
    'tc',
    'qdisc',
    'replace',
    'dev',
    device,
    'root',
    'tbf',
    'rate',
    rate,
    'burst',
    '4k',
    'latency',
    '200ms',
  );
}
