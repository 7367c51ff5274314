/** RTO events of the running kernel: lost packets in namespaces, events out of eBPF. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loadBpf } from '../../agent/bpf/addon.ts';
import { openRtoEvents, type RtoEvents, type RtoOptions } from '../../agent/bpf/rto-events.ts';
import type { RtoRecord } from '../../agent/bpf/rto-record.ts';
import { localTokens, printed, talk, until } from './mptcp-talk.ts';
import { makeNetwork, type Namespace } from './namespaces.ts';

const ASKER = fileURLToPath(new URL('identity-asker.js', import.meta.url));
const WATCHER = fileURLToPath(new URL('rto-watcher.js', import.meta.url));

/** The test process is in no namespace of the test, so it must ask for all. */
function watch(t: TestContext, options: RtoOptions = {}): { source: RtoEvents; records: RtoRecord[] } {
  const source = openRtoEvents(loadBpf(), { everyNamespace: true, ...options });
  t.after(source.close);
  const records: RtoRecord[] = [];
  source.watch((event, record) => {
    const { token, local, remote, rto, silence } = record;
    assert.deepEqual(
      event,
      silence > 0
        ? { kind: 'resumed', token, silence }
        : { kind: 'stalled', token, local, remote, rto: rto / 1000 },
    );
    records.push(record);
  });
  return { source, records };
}

/** A source inside a namespace, and the lines that rto-watcher.ts prints of it. */
function watchInside(namespace: Namespace): { watcher: ChildProcess; lines: string[] } {
  const watcher = namespace.start('node', [WATCHER], { stdio: ['pipe', 'pipe', 'inherit'] });
  return { watcher, lines: printed(watcher) };
}

/** Records of this connection only: others may test on this machine at the same time. */
const own = (records: readonly RtoRecord[], port: number) =>
  records.filter(({ local, remote }) => local.port === port || remote.port === port);

const of = (records: readonly RtoRecord[], localIp: string) =>
  records.filter(({ local }) => local.ip === localIp);

/** Each timeout is what the one before said that it would be, and the backoff counts. */
function assertBacksOff(records: readonly RtoRecord[]): void {
  for (const [i, { expired, rto, backoff }] of records.entries()) {
    assert.equal(backoff, records[0]!.backoff + i);
    assert.equal(rto, Math.min(2 * expired, 120_000_000));
    if (i > 0) assert.equal(expired, records[i - 1]!.rto);
  }
}

test('every timeout of the initial and of a joined subflow is told', async (t) => {
  const { source, records } = watch(t);
  assert.equal(source.mode, 'sockops');
  const { network, port, client } = await talk(t, { joined: true });
  const [token] = localTokens(network.client);
  for (const path of network.paths) path.loss(100);
  client.stdin!.write('200000\n');
  const [initial, joined] = network.paths.map((path) => () => of(own(records, port), path.client.ip4));
  await until('three timeouts each', () => initial!().length >= 3 && joined!().length >= 3);
  for (const seen of [initial!(), joined!()]) {
    assertBacksOff(seen);
    for (const record of seen) {
      assert.equal(record.token, token);
      assert.equal(record.remote.ip, network.paths[0]!.server.ip4);
      assert.ok(record.srtt > 0);
      assert.ok(record.cgroup > 0n);
    }
  }
  assert.doesNotMatch(source.reason, /lost/);
});

test('timeouts of the passive side are told, over IPv6 too', async (t) => {
  const { records } = watch(t);
  const { network, port, server } = await talk(t, { ipv6: true });
  const [token] = localTokens(network.server);
  for (const path of network.paths) path.loss(100);
  server.stdin!.write('50000\n');
  const { client: near, server: far } = network.paths[0]!;
  const seen = () => of(own(records, port), far.ip6);
  await until('two timeouts', () => seen().length >= 2);
  assertBacksOff(seen());
  for (const record of seen()) {
    assert.equal(record.token, token);
    assert.equal(record.remote.ip, near.ip6);
  }
});

test('subflows that are older than the source are not missed', async (t) => {
  const { network, client } = await talk(t);
  const { lines } = watchInside(network.client);
  await until('the watcher is there', () => lines.length > 0);
  network.paths[0]!.loss(100);
  client.stdin!.write('50000\n');
  await until('a timeout', () => lines.length >= 2);
  const [first, second] = lines.map((line) => JSON.parse(line));
  assert.equal(first.mode, 'sockops');
  assert.match(first.reason, /1 older subflows (enrolled|watched by tracepoint)/);
  assert.equal(second.event.token, localTokens(network.client)[0]);
});

test('the tracepoint tells of timeouts as the sockops program does, and of nothing else', async (t) => {
  const bySockops = watch(t);
  const byTracepoint = watch(t, { modes: ['tracepoint'] });
  assert.equal(byTracepoint.source.mode, 'tracepoint');
  const { network, port, client } = await talk(t, { joined: true });
  // Enough for recovery without timeouts too, whose retransmissions must not count.
  for (const path of network.paths) path.loss(40);
  client.stdin!.write('2000000\n');
  const essence = ({ records }: { records: readonly RtoRecord[] }) =>
    own(records, port).map(({ token, local, remote, expired, rto, backoff, sndUna }) =>
      [token, local.ip, local.port, remote.ip, remote.port, expired, rto, backoff, sndUna].join(' '),
    );
  await until('six timeouts', () => essence(byTracepoint).length >= 6);
  await sleep(50);
  // Not the other way round: a retransmission that finds the first one still in a queue is none.
  const told = new Set(essence(bySockops));
  assert.deepEqual(
    essence(byTracepoint).filter((line) => !told.has(line)),
    [],
  );
});

test('the first data after a silence is told, and only that', async (t) => {
  const { records } = watch(t, { silence: 1000 });
  const { network, port, client } = await talk(t);
  const sent: number[] = [];
  for (const pause of [700, 1500, 0, 0]) {
    await sleep(pause);
    sent.push(Date.now());
    client.stdin!.write('10\n');
  }
  const seen = () => of(own(records, port), network.paths[0]!.client.ip4);
  await until('a record', () => seen().length > 0);
  await sleep(100);
  const [record, ...others] = seen();
  assert.deepEqual(others, []);
  assert.equal(record!.token, localTokens(network.client)[0]);
  assert.ok(Math.abs(record!.silence - (sent[1]! - sent[0]!)) < 100, `${record!.silence} ms`);
  assert.deepEqual([record!.expired, record!.backoff], [0, 0]);
});

test('a source sees its own namespace only, and nothing of it is left when it is killed', async (t) => {
  const { network, client, server } = await talk(t, { joined: true });
  const near = watchInside(network.client);
  const far = watchInside(network.server);
  await until('both watch', () => near.lines.length > 0 && far.lines.length > 0);
  for (const path of network.paths) path.loss(100);
  client.stdin!.write('50000\n');
  server.stdin!.write('50000\n');
  await until('both saw timeouts', () => near.lines.length > 2 && far.lines.length > 2);
  const tokens = ({ lines }: { lines: string[] }) =>
    new Set(lines.slice(1).map((line) => JSON.parse(line).event.token));
  assert.deepEqual(tokens(near), new Set(localTokens(network.client)));
  assert.deepEqual(tokens(far), new Set(localTokens(network.server)));

  const held = links(near.watcher.pid!);
  assert.ok(held.length > 0);
  near.watcher.kill('SIGKILL');
  await once(near.watcher, 'exit');
  await until('the kernel has detached its programs', () => held.every((id) => !existing().includes(id)));
});

/** DAC_READ_SEARCH only lets it read its own files, wherever they are. */
test('three capabilities suffice; with one missing it samples and says which', (t) => {
  const network = makeNetwork({ paths: 1 });
  t.after(network.remove);
  const run = (program: string, capabilities: string[]) => {
    const list = capabilities.map((name) => `+${name}`).join(',');
    const as = [`--bounding-set=-all,+dac_read_search,${list}`, '--inh-caps=-all'];
    return JSON.parse(network.client.run('setpriv', ...as, 'node', program, 'once'));
  };
  const sufficient = ['bpf', 'perfmon', 'net_admin'];
  assert.equal(run(WATCHER, sufficient).mode, 'sockops');
  assert.equal(run(ASKER, sufficient).works, true);
  const lacking = run(WATCHER, ['bpf', 'net_admin']);
  assert.equal(lacking.mode, 'sampling');
  assert.match(lacking.reason, /we lack CAP_PERFMON/);
});

/** Ids of the bpf_links that a process holds. */
function links(pid: number): string[] {
  return execFileSync('sh', ['-c', `cat /proc/${pid}/fdinfo/* | sed -n 's/^link_id:\\s*//p'`], {
    encoding: 'utf8',
  })
    .trim()
    .split('\n');
}

/** Ids of all bpf_links that the kernel has. */
function existing(): string[] {
  const shown = JSON.parse(execFileSync('bpftool', ['--json', 'link', 'show'], { encoding: 'utf8' }));
  return shown.map(({ id }: { id: number }) => String(id));
}
