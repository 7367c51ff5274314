/**
 * The path managers that the reaction benchmark compares. Each opens a second subflow, from the client's second
 * address, for every connection that the client's namespace makes.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectControl } from '../../agent/control/client.ts';
import { eventually } from '../netns/daemon.ts';
import type { Network } from '../netns/namespaces.ts';
import { cached, checkout } from '../vm/cache.ts';
import { unpack } from '../vm/packages.ts';

const MAIN = fileURLToPath(new URL('../../agent/main.js', import.meta.url));
const SOURCES = join(checkout, 'test/bench');
const PROGRAMS = fileURLToPath(new URL('.', import.meta.url));
const HIGHEST_PRIORITY = -20;

export type Stop = () => Promise<void>;
export type Manager = (network: Network) => Promise<Stop>;

export const managers: Readonly<Record<string, Manager>> = {
  kernel: inKernel,
  mptcpd: (network) => mptcpd(network, 0),
  /** smappd gives itself this priority; Debian's mptcpd does not. */
  'mptcpd-nice': (network) => mptcpd(network, HIGHEST_PRIORITY),
  smappd,
  least,
};

/** Of the benchmark's server. */
export const PORT = 8080;

async function inKernel({ client, paths }: Network): Promise<Stop> {
  client.run('ip', 'mptcp', 'limits', 'set', 'subflows', '8');
  client.run('ip', 'mptcp', 'endpoint', 'add', paths[1]!.client.ip4, 'subflow');
  return async () => {};
}

/** Debian's mptcpd, unpacked beside this machine's own packages, with a plugin in C. */
async function mptcpd({ client, paths }: Network, niceness: number): Promise<Stop> {
  const packages = ['libell0', 'libmptcpd3', 'libmptcpd3-dev', 'mptcpd'];
  const entry = cached('mptcpd', packages.join(' '), ['root/usr/libexec/mptcpd'], (into) =>
    unpack(packages, join(into, 'root'), (text) => process.stderr.write(`reaction: ${text}\n`)),
  );
  const root = join(entry, 'root');
  const plugins = join(PROGRAMS, 'reaction-plugins');
  mkdirSync(plugins, { recursive: true, mode: 0o755 });
  const plugin = ['-shared', '-fPIC', `-I${root}/usr/include`, '-o', join(plugins, 'reaction.so')];
  execFileSync('cc', ['-O2', '-Wall', ...plugin, join(SOURCES, 'reaction-mptcpd.c')], { stdio: 'inherit' });
  const libraries = execFileSync('gcc', ['-print-multiarch'], { encoding: 'utf8' }).trim();
  client.sysctl({ 'net.mptcp.pm_type': 1 });
  const child = client.start(
    'nice',
    [
      `--adjustment=${niceness}`,
      join(root, 'usr/libexec/mptcpd'),
      `--plugin-dir=${plugins}`,
      '--path-manager=reaction',
      '--load-plugins=reaction',
      '--log=stderr',
    ],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        LD_LIBRARY_PATH: `${root}/usr/lib/${libraries}`,
        REACTION_LOCAL: paths[1]!.client.ip4,
      },
    },
  );
  child.stderr!.on('data', (text) => process.stderr.write(`mptcpd: ${text}`));
  return async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
}

/** What Node itself costs (reaction-least.ts). */
async function least({ client, paths }: Network): Promise<Stop> {
  client.sysctl({ 'net.mptcp.pm_type': 1 });
  const args = [
    join(PROGRAMS, 'reaction-least.js'),
    paths[1]!.client.ip4,
    paths[0]!.server.ip4,
    String(PORT),
  ];
  const child = client.start(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  return async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
}

/** The daemon as it is installed, with a policy that says fullmesh. */
async function smappd({ client }: Network): Promise<Stop> {
  const folder = mkdtempSync(join(tmpdir(), 'smappd-reaction-'));
  const [policy, control] = [join(folder, 'policy.json'), join(folder, 'control.sock')];
  const interfaces = { 'path*': { role: 'primary' } };
  writeFileSync(policy, JSON.stringify({ interfaces, default: { controller: 'fullmesh' } }));
  const child = client.start(process.execPath, [MAIN, '--policy', policy, '--control', control], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const asked = await eventually('smappd answers', async () =>
    connectControl(control).catch(() => undefined),
  );
  asked.close();
  return async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
    rmSync(folder, { recursive: true });
  };
}
