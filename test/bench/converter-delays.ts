/** What each relay adds to a packet's way (HotMiddlebox'13, table 1), over a path with a delay. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { readStats } from '../../agent/converter/status.ts';
import { type Times, until, type World } from '../netns/converter.ts';
import { Namespace } from '../netns/namespaces.ts';
import {
  ask,
  control,
  type Progress,
  populated,
  RATE,
  ROUNDS,
  Samples,
  startConverter,
} from './converter-common.ts';
import { benchProgram } from './converter-programs.ts';
import { GATE } from './converter-rivals.ts';
import type { Row } from './results.ts';

/** What each adds to a packet's way, with 10 ms of round trip to the client: table 1. */
export async function delays(progress: Progress, detail: Record<string, unknown>): Promise<Row[]> {
  const samples = new Samples();
  const { world, variants } = await populated(RATE);
  try {
    const wire = new Namespace('wire');
    try {
      await insertWire(world, wire, 0, 5000);
      holdForward(world);
      startConverter(world, 9102, 'hold');
      await sleep(300);
      const measured = [
        ...variants.filter(({ http }) => !http),
        { name: 'converter-hold', to: `${GATE}:9102` },
      ];
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`delays, round ${round} of ${ROUNDS}`);
        for (const variant of measured) {
          const name = variant.name === 'converter' ? 'converter-off' : variant.name;
          const { syn, synack, up, down } = await sniffing(world, async () => {
            const connects = await world.run('syn', variant.to, 20, 2000);
            samples.add(name, 'rtt=10ms', 'connect', 'us', (connects['connect_us'] as Times).median);
            await world.run('echo', variant.to, 1400, 40, 2000);
          });
          samples.add(name, 'rtt=10ms', 'syn_to_syn', 'us', ...syn);
          if (/forward|hold/.test(name)) samples.add(name, 'rtt=10ms', 'synack_to_synack', 'us', ...synack);
          samples.add(name, 'rtt=10ms', 'data_delay', 'us', ...up, ...down);
          const first = await ask(world, variant, 1024, 20, 1);
          samples.add(name, 'rtt=10ms', 'fetch', 'us', (first['whole_us'] as Times).median);
        }
      }
      detail['held'] = await readStats(control(world, 9102));
      return samples.rows();
    } finally {
      wire.remove();
    }
  } finally {
    await world.remove();
  }
}

type Sights = Record<'syn' | 'synack' | 'up' | 'down', number[]>;

async function sniffing(world: World, during: () => Promise<void>): Promise<Sights> {
  const child = world.gate.start(benchProgram('converter-sniff'), ['path0', 'server0'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout!.on('data', (chunk) => (text += chunk));
  await until(
    () => text,
    (seen) => seen.includes('ready'),
  );
  await during();
  child.stdin!.end();
  await once(child, 'close');
  return JSON.parse(text.trimEnd().split('\n').at(-1)!) as Sights;
}

/** Puts a wire that takes `us` microseconds each way between client and converter, in place of a path's link. */
export async function insertWire(world: World, wire: Namespace, path: number, us: number): Promise<void> {
  const [device, net] = [`path${path}`, `10.0.${path + 1}`];
  world.client.ip(`link del ${device}\n`);
  wire.ip(`link add near type veth peer name ${device} netns ${world.client.name}\n`);
  wire.ip(`link add far type veth peer name ${device} netns ${world.gate.name}\n`);
  wire.ip('link set near up\nlink set far up\n');
  world.gate.ip(`addr add ${net}.1/24 dev ${device}\nlink set ${device} up\n`);
  world.client.ip(`
    addr add ${net}.2/24 dev ${device}
    link set ${device} up
    route add default via ${net}.1 dev ${device} metric ${100 + path}
    route replace default via ${net}.1 dev ${device} table ${100 + path}
  `);
  const child = wire.start(benchProgram('converter-delay'), ['near', 'far', String(us)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
}

/** What the agent's rules do for a held explicit door (agent/converter/rules.ts), for a forwarding one. */
function holdForward(world: World): void {
  world.gate.run('ip', 'rule', 'add', 'fwmark', '0x534d', 'lookup', '21325');
  world.gate.run('ip', 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', '21325');
  world.gate.run(
    'nft',
    'add table inet hold; add chain inet hold in { type filter hook prerouting priority mangle; }; ' +
      'add rule inet hold in iifname != "lo" tcp dport 9102 tcp flags & (fin | syn | rst | ack) == syn drop',
  );
}
