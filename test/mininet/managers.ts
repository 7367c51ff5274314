/** Who competes: this daemon, and the best that a user has without it. */
import type { Manager } from './experiment.ts';

/** Where the guest keeps what it runs, in RAM; lab.ts says what that is. */
export const PROGRAMS = '/run/lab-programs';

const limits = ['ip mptcp limits set subflows 8 add_addr_accepted 8'];
const userspace = ['sysctl -qw net.mptcp.pm_type=1'];

export const plainTcp: Manager = { variant: 'plain-tcp', transport: 'tcp' };

/** The in-kernel manager with `addresses` as endpoints. */
export function kernelEndpoints(
  variant: string,
  flags: 'fullmesh' | 'backup' | '',
  endpoints: readonly { readonly address: string; readonly device: string }[],
): Manager {
  const add = endpoints.map(
    ({ address, device }) => `ip mptcp endpoint add ${address} dev ${device} subflow ${flags}`,
  );
  return { variant, transport: 'mptcp', server: limits, client: [...limits, ...add] };
}

/**
 * Debian's mptcpd. Its own plugins open no subflow, so it gets a small one (mptcpd-plugin.c) that opens
 * `subflows` when the connection is established, each written ADDRESS/ID or ADDRESS/ID/backup.
 */
export function mptcpd(variant: string, subflows: readonly string[]): Manager {
  const options = [`--plugin-dir=${PROGRAMS}`, '--path-manager=lab', '--load-plugins=lab', '--log=stderr'];
  return {
    variant,
    transport: 'mptcp',
    client: userspace,
    server: limits,
    daemon: [`LAB_SUBFLOWS=${subflows.join(' ')}`, '/usr/libexec/mptcpd', ...options],
    ready: 'lab: ready',
  };
}

/** Our own daemon at the client under `policy`, an object as in /etc/smappd/policy.json. */
export function smappd(policy: object, variant = 'smappd'): Manager {
  const control = '/run/lab/client/control.sock';
  return {
    variant,
    transport: 'mptcp',
    client: [...userspace, writePolicy('client', policy)],
    server: limits,
    daemon: daemon('client'),
    ready: 'ready',
    recorder: ['node', `${PROGRAMS}/dist/agent/cli.js`, '--control', control, 'record', '-'],
  };
}

/** The same with a daemon at the server too, under a policy of its own. */
export function smappdAtBothEnds(policy: object, serverPolicy: object, variant = 'smappd'): Manager {
  return {
    ...smappd(policy, variant),
    server: [...userspace, writePolicy('server', serverPolicy)],
    serverDaemon: daemon('server'),
  };
}

function writePolicy(host: string, policy: object): string {
  return `mkdir -p /run/lab/${host} && cat >/run/lab/${host}/policy.json <<'POLICY'\n${JSON.stringify(policy)}\nPOLICY`;
}

function daemon(host: string): string[] {
  const [policy, control] = [`/run/lab/${host}/policy.json`, `/run/lab/${host}/control.sock`];
  return ['node', `${PROGRAMS}/dist/agent/main.js`, '--policy', policy, '--control', control];
}
