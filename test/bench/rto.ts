/**
 * How long it takes from a retransmission timeout in the kernel to the handler in the event loop, by each
 * source of such events, on an idle machine and with all processors busy.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism, constants, setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loadBpf } from '../../agent/bpf/addon.ts';
import { openRtoEvents, type RtoMode } from '../../agent/bpf/rto-events.ts';
import { makeNetwork } from '../netns/namespaces.ts';
import { distribution, type Result, type Row, result } from './results.ts';

const PEER = fileURLToPath(new URL('../netns/mptcp-peer.js', import.meta.url));
const ROUNDS = 3;
const CONNECTIONS = 40;
/** Both ends of a connection have three timeouts in this time, from 0.2 s on, each later than the one before. */
const MILLISECONDS = 2500;
/** Between the first losses of one connection and the next: timers then expire one by one. */
const STEP = 7;

type Mode = Exclude<RtoMode, 'sampling'>;

export async function run(progress: (text: string) => void): Promise<Result> {
  // As smappd itself runs.
  setPriority(constants.priority.PRIORITY_HIGHEST);
  const rows: Row[] = [];
  for (const condition of ['idle', 'stress'] as const) {
    const samples: Record<Mode, number[]> = { sockops: [], tracepoint: [] };
    for (let round = 1; round <= ROUNDS; round++) {
      for (const mode of ['sockops', 'tracepoint'] as const) {
        progress(`${condition}, ${mode}, round ${round} of ${ROUNDS}`);
        samples[mode].push(...(await latencies(mode, condition === 'stress')));
      }
    }
    for (const [variant, values] of Object.entries(samples)) {
      rows.push(distribution({ variant, case: condition, metric: 'latency', unit: 'us' }, values));
    }
  }
  return result('rto', 'median of sockops below 1000 us', rows);
}

/** In µs, of every timeout of some connections that lose everything at once. */
async function latencies(mode: Mode, stress: boolean): Promise<number[]> {
  const network = makeNetwork({ paths: 1, userspace: false });
  const source = openRtoEvents(loadBpf(), { everyNamespace: true, modes: [mode] });
  const busy: ChildProcess[] = [];
  try {
    if (source.mode !== mode) throw new Error(`${mode} does not work here: ${source.reason}`);
    const [path] = network.paths;
    const stdio = ['pipe', 'pipe', 'inherit'] as ['pipe', 'pipe', 'inherit'];
    const server = network.server.start('node', [PEER, 'listen', path!.server.ip4], { stdio });
    const port = Number(String((await once(server.stdout!, 'data'))[0]));
    const connect = [PEER, 'connect', path!.server.ip4, String(port), String(CONNECTIONS)];
    const client = network.client.start('node', connect, { stdio });
    await once(client.stdout!, 'data');
    await sleep(500);
    if (stress) {
      for (let i = 0; i < availableParallelism(); i++) {
        const one = spawn('sh', ['-c', 'while :; do :; done']);
        setPriority(one.pid!, 0);
        busy.push(one);
      }
    }
    const micros: number[] = [];
    source.watch((_, { at, local, remote }) => {
      const now = process.hrtime.bigint();
      if (local.port === port || remote.port === port) micros.push(Number(now - at) / 1000);
    });
    path!.loss(100);
    for (const peer of [client, server]) peer.stdin!.write(`20000 ${STEP}\n`);
    await sleep(MILLISECONDS);
    return micros;
  } finally {
    for (const one of busy) one.kill('SIGKILL');
    source.close();
    network.remove();
  }
}
