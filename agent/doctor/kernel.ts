/** Whether this kernel speaks MPTCP, lets userspace manage paths, and has not switched MPTCP off by itself. */
import { type Check, type Finding, note, ok, type Patient, problem } from './finding.ts';

const sysctl = ({ read }: Patient, name: string): string | undefined => read(`/proc/sys/net/mptcp/${name}`);

export const mptcp: Check = (patient) => {
  const enabled = sysctl(patient, 'enabled');
  if (enabled === undefined) {
    return [
      problem(
        'mptcp',
        'this kernel has no MPTCP (CONFIG_MPTCP)',
        "boot Debian's own kernel (linux-image-amd64 of Debian 12 or later)",
      ),
    ];
  }
  if (enabled === '0') return [problem('mptcp', 'MPTCP is switched off', 'sysctl -w net.mptcp.enabled=1')];
  return [ok('mptcp', `MPTCP is there and on (Linux ${patient.read('/proc/sys/kernel/osrelease') ?? '?'})`)];
};

export const pathManager: Check = (patient) => {
  if (sysctl(patient, 'enabled') === undefined) return [];
  const type = sysctl(patient, 'pm_type');
  if (type === undefined) {
    return [
      problem(
        'path-manager',
        'this kernel has no userspace path manager (it came with Linux 5.19)',
        'boot a newer kernel: Debian 12 has 6.1',
      ),
    ];
  }
  const userspace = type === '1';
  if (patient.status && !userspace) {
    return [
      problem(
        'path-manager',
        'new connections go to the in-kernel path manager although smappd runs: something set net.mptcp.pm_type back',
        'sysctl -w net.mptcp.pm_type=1, and look for what sets it in /etc/sysctl.d',
      ),
    ];
  }
  if (!patient.status && userspace) {
    return [
      problem(
        'path-manager',
        'net.mptcp.pm_type is 1 and smappd does not run: connections get no subflows, and servers refuse those of peers',
        'start smappd, or sysctl -w net.mptcp.pm_type=0',
      ),
    ];
  }
  return [
    userspace
      ? ok('path-manager', 'new connections go to the userspace path manager')
      : note('path-manager', 'the in-kernel path manager is in use; smappd changes that while it runs'),
  ];
};

/** net/mptcp/ctrl.c: after SYNs with MP_CAPABLE were lost and plain ones were not, active MPTCP pauses. */
export const fallback: Check = (patient) => {
  const findings: Finding[] = [];
  const timeout = sysctl(patient, 'blackhole_timeout');
  const blackholes = counters(patient).get('Blackhole') ?? 0;
  const disabled = counters(patient).get('MPCapableSYNTXDisabled') ?? 0;
  if (timeout !== undefined && timeout !== '0' && disabled > 0) {
    findings.push(
      problem(
        'blackhole',
        `the kernel has paused MPTCP for new connections, ${disabled} so far: SYNs with MPTCP options got lost ${blackholes} times`,
        `find what drops TCP option 30 on the path; sysctl -w net.mptcp.blackhole_timeout=0 ends and prevents the pause (now ${timeout} s, longer each time)`,
      ),
    );
  } else if (timeout !== undefined) {
    const now = timeout === '0' ? 'never' : `for ${timeout} s after MPTCP SYNs got lost; it has not yet`;
    findings.push(ok('blackhole', `the kernel pauses MPTCP ${now}`));
  }
  const retries = sysctl(patient, 'syn_retrans_before_tcp_fallback');
  if (retries !== undefined && Number(retries) < 2) {
    findings.push(
      note(
        'syn-fallback',
        `connections fall back to TCP after ${retries} lost SYNs: too soon on lossy links`,
        'sysctl -w net.mptcp.syn_retrans_before_tcp_fallback=2',
      ),
    );
  }
  if (sysctl(patient, 'allow_join_initial_addr_port') === '0') {
    findings.push(
      note(
        'joins',
        'peers may not open subflows to the address that they connected to',
        'sysctl -w net.mptcp.allow_join_initial_addr_port=1, unless a load balancer has that address',
      ),
    );
  }
  return findings;
};

/** MPTCP really used: what the counters say since boot, in this network namespace. */
export const usage: Check = (patient) => {
  const count = counters(patient);
  if (count.size === 0) return [];
  const of = (name: string): number => count.get(name) ?? 0;
  const sent = of('MPCapableSYNTX');
  const answered = of('MPCapableSYNACKRX');
  const accepted = of('MPCapableACKRX');
  const findings: Finding[] = [];
  if (sent === 0 && accepted === 0) {
    findings.push(
      note(
        'usage',
        'no application has used MPTCP since boot',
        'smappctl run -- CMD starts one with MPTCP; "mptcp": true in the policy does it for a service',
      ),
    );
  } else {
    const client = sent > 0 ? `${answered} of ${sent} connections from here were answered with MPTCP` : '';
    const server = accepted > 0 ? `${accepted} were accepted` : '';
    findings.push(ok('usage', [client, server].filter(Boolean).join('; ')));
  }
  if (sent > 0 && answered === 0) {
    findings.push(
      note(
        'usage',
        'no server has answered with MPTCP: they do not speak it, or something on the way removes it',
        'try a server that does (curl to https://check.mptcp.dev); for others there is the converter',
      ),
    );
  }
  const broken = [
    'MPFallbackTokenInit',
    'MPCapableFallbackACK',
    'DSSNotMatching',
    'MPCapableDataFallback',
    'DssFallback',
  ]
    .map((name) => [name, of(name)] as const)
    .filter(([, value]) => value > 0);
  if (broken.length > 0) {
    const told = broken.map(([name, value]) => `${name} ${value}`).join(', ');
    findings.push(
      note(
        'fallback',
        `connections fell back to TCP in the middle: ${told}`,
        'nstat -az MPTcpExt* shows when they grow',
      ),
    );
  }
  const rejected = of('MPJoinRejected');
  if (rejected > 0) {
    findings.push(
      note(
        'joins',
        `${rejected} subflows of peers were rejected`,
        "a controller's limit (server-limit), or no path manager was there; smappctl explain TOKEN tells",
      ),
    );
  }
  return findings;
};

/** The MPTcpExt lines of /proc/net/netstat. */
export function counters({ read }: Pick<Patient, 'read'>): Map<string, number> {
  const lines = (read('/proc/net/netstat') ?? '').split('\n').filter((line) => line.startsWith('MPTcpExt: '));
  const [names = [], values = []] = lines.map((line) => line.split(' ').slice(1));
  return new Map(names.map((name, index) => [name, Number(values[index])]));
}
