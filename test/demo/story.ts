/**
 * The phone story: a transfer starts on Wi-Fi, the Wi-Fi goes bad, smappd moves the transfer to LTE, and
 * back when the Wi-Fi is good again. Real MPTCP, the real daemon, in namespaces.
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type ControlClient, connectControl } from '../../agent/control/client.ts';
import { makeNetwork, type Network } from '../netns/namespaces.ts';
import { type Audience, Recorder } from './recorder.ts';
import type { Link, Recording } from './recording.ts';
import type { Report } from './transfer.ts';

export interface Story {
  /** Bytes to send. */
  readonly size: number;
  /** Milliseconds from the first byte until the Wi-Fi goes bad, and until it is good again. */
  readonly bad: number;
  readonly good: number;
  /** Percent of the packets that the bad Wi-Fi loses, each way. */
  readonly loss: number;
  /** tc rates. */
  readonly wifi: string;
  readonly lte: string;
  /** Parameters of the controller `backup`. */
  readonly params: Readonly<Record<string, unknown>>;
  /** The transfer is given up after so many milliseconds. */
  readonly patience: number;
}

export const LINKS: readonly Link[] = [
  { ifname: 'wlan0', title: 'Wi-Fi', role: 'primary' },
  { ifname: 'wwan0', title: 'LTE', role: 'backup' },
];

const PORT = 5001;
/** The longest wait in a link's queue, in milliseconds. */
const QUEUE = 100;

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export async function play(story: Story, audience: Audience): Promise<Recording> {
  const folder = mkdtempSync(join(tmpdir(), 'smappd-demo-'));
  const network = makeNetwork({
    names: LINKS.map(({ ifname }) => ifname),
    router: true,
    sourceRouting: false, // the daemon's task
    userspace: false, // for the server; the daemon sets what it needs on the client
  });
  try {
    const [wifi, lte] = network.paths;
    wifi!.shape(story.wifi, QUEUE);
    lte!.shape(story.lte, QUEUE);
    // Machines differ in their default; this one is always there, and namespaces may use it.
    network.client.sysctl({ 'net.ipv4.tcp_congestion_control': 'reno' });
    network.server.run('ip', 'mptcp', 'limits', 'set', 'subflow', '8', 'add_addr_accepted', '8');
    const { control, died } = await startDaemon(network, folder, story);
    const recorder = new Recorder(audience, control);
    const begun = startTransfer(network, story, (bytes) => {
      recorder.received = bytes;
    });
    const transfer = await Promise.race([begun, died]);
    const readings = recorder.start();
    const weather = [
      setTimeout(() => {
        recorder.mark('bad', `Wi-Fi goes bad: it loses ${story.loss} % each way`);
        wifi!.loss(story.loss);
      }, story.bad),
      setTimeout(() => {
        recorder.mark('good', 'Wi-Fi is good again');
        wifi!.loss(0);
      }, story.good),
    ];
    const sha256Ok = await Promise.race([
      transfer.ended,
      died,
      readings.then(() => undefined),
      sleep(story.patience, undefined, { ref: false }),
    ]);
    for (const timer of weather) clearTimeout(timer);
    await recorder.stop();
    const { points, marks, received } = recorder;
    const end = sha256Ok === undefined ? undefined : { at: points.at(-1)!.at, received, sha256Ok };
    return { links: LINKS, size: story.size, points, marks, end };
  } finally {
    network.remove();
    rmSync(folder, { recursive: true });
  }
}

interface RunningDaemon {
  readonly control: ControlClient;
  /** Fails when the daemon ends, and says what it complained of. */
  readonly died: Promise<never>;
}

async function startDaemon({ client }: Network, folder: string, story: Story): Promise<RunningDaemon> {
  const policy = join(folder, 'policy.json');
  const socket = join(folder, 'control.sock');
  writeFileSync(
    policy,
    JSON.stringify({
      interfaces: { wlan0: { role: 'primary' }, wwan0: { role: 'backup', metered: true } },
      default: { controller: 'backup', params: story.params },
    }),
  );
  const daemon = client.start(
    process.execPath,
    [here('../../agent/main.js'), '--policy', policy, '--control', socket, '--log', 'warn'],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let complaints = '';
  daemon.stderr!.on('data', (text) => {
    complaints += text;
  });
  const died = new Promise<never>((_, reject) => {
    daemon.once('exit', () => reject(new Error(`smappd ended: ${complaints.trim() || 'without a word'}`)));
  });
  died.catch(() => {}); // whoever waits for it hears of it
  return { control: await Promise.race([connected(socket), died]), died };
}

/** Resolves when the daemon answers; gives it 20 s. */
async function connected(socket: string): Promise<ControlClient> {
  for (let tries = 1; ; tries++) {
    try {
      return await connectControl(socket);
    } catch (error) {
      if (tries === 400) throw error;
      await sleep(50);
    }
  }
}

/** Resolves when the first bytes have arrived; `ended`, to whether both ends have the same hash, at the end. */
async function startTransfer(
  { client, server, paths }: Network,
  { size }: Story,
  received: (bytes: number) => void,
): Promise<{ ended: Promise<boolean> }> {
  const script = here('transfer.js');
  const receiver = server.start(process.execPath, [script, 'receive', String(PORT), String(size)], IPC);
  await report(receiver, 'listening');
  receiver.on('message', (message: Report) => {
    if (message.kind === 'received') received(message.bytes);
  });
  const { ip4 } = paths[0]!.server;
  const sender = client.start(process.execPath, [script, 'send', ip4, String(PORT), String(size)], IPC);
  const ended = report(sender, 'done').then(({ sha256Ok }) => sha256Ok);
  ended.catch(() => {});
  await Promise.race([report(receiver, 'received'), ended]);
  return { ended };
}

const IPC: SpawnOptions = { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] };

/** The first report of this kind; fails when the process ends without. */
function report<K extends Report['kind']>(child: ChildProcess, kind: K): Promise<Report & { kind: K }> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: Report) => {
      if (message.kind === kind) resolve(message as Report & { kind: K });
    });
    child.once('exit', (code) => reject(new Error(`one end of the transfer ended early, with ${code}`)));
  });
}
