/** Whether the daemon runs, with what it needs, under the policy that is in the file. */
import { type Check, note, ok, problem } from './finding.ts';

/** linux/capability.h */
const CAPABILITIES = { NET_ADMIN: 12, DAC_READ_SEARCH: 2, SYS_PTRACE: 19, PERFMON: 38, BPF: 39 } as const;

export const daemon: Check = ({ status, unreachable }) => {
  if (!status) return [note('daemon', unreachable)];
  const { version, pid, connections, uncommanded, commands } = status;
  const alien = uncommanded > 0 ? `, ${uncommanded} of them under the in-kernel path manager` : '';
  return [
    ok('daemon', `smappd ${version} runs (pid ${pid}) with ${connections} connections${alien}`),
    ...(commands.failed > 10 && commands.failed > commands.done
      ? [
          note(
            'commands',
            `${commands.failed} commands failed, ${commands.done} worked`,
            'smappctl explain TOKEN says why',
          ),
        ]
      : []),
  ];
};

/** Two path managers answer the same events, and undo what the other did. */
export const rivals: Check = ({ programs }) =>
  programs().includes('mptcpd')
    ? [
        problem(
          'rivals',
          'mptcpd runs too: it and smappd would manage the same connections',
          'systemctl disable --now mptcp',
        ),
      ]
    : [];

export const timeouts: Check = ({ status }) => {
  if (!status) return [];
  if (!status.timeouts.startsWith('sampling')) {
    return [ok('timeouts', `retransmission timeouts come from the kernel (${status.timeouts})`)];
  }
  return [
    note(
      'timeouts',
      `retransmission timeouts are noticed by ${status.timeouts}`,
      'the kernel would tell at once by eBPF: it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, /sys/kernel/btf/vmlinux, and native/build/bpf.node (clang and libbpf-dev when it was built)',
    ),
  ];
};

export const effects: Check = ({ status }) => (status?.problems ?? []).map((text) => note('policy', text));

export const capabilities: Check = ({ status, read, policy }) => {
  const whose = status ? 'smappd' : 'this user';
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(read(`/proc/${status?.pid ?? 'self'}/status`) ?? '')?.[1];
  if (effective === undefined) return [note('capabilities', `those of ${whose} cannot be read`)];
  const bits = BigInt(`0x${effective}`);
  const missing = (names: readonly (keyof typeof CAPABILITIES)[]): string[] =>
    names.filter((name) => (bits & (1n << BigInt(CAPABILITIES[name]))) === 0n).map((name) => `CAP_${name}`);
  const findings = [];
  const vital = missing(['NET_ADMIN']);
  if (vital.length > 0 && status) {
    findings.push(
      problem(
        'capabilities',
        `smappd lacks ${vital.join(', ')}: its commands are refused`,
        'start it by its unit, or as root',
      ),
    );
  } else if (vital.length > 0)
    findings.push(note('capabilities', 'this user could not run smappd', 'be root'));
  const bpf = missing(['BPF', 'PERFMON']);
  if (bpf.length > 0 && status) {
    findings.push(
      note(
        'capabilities',
        `smappd lacks ${bpf.join(', ')}: it samples instead of hearing of timeouts`,
        'see AmbientCapabilities= in its unit',
      ),
    );
  }
  const byProgram = policy?.apps.some(({ match }) => match.exe !== undefined);
  const seeing = byProgram && status ? missing(['SYS_PTRACE', 'DAC_READ_SEARCH']) : [];
  if (seeing.length > 0) {
    findings.push(
      problem(
        'capabilities',
        `the policy matches by "exe", and smappd lacks ${seeing.join(', ')} to see the programs of other users`,
        'give it these in its unit (AmbientCapabilities=), or match by "unit" or "user"',
      ),
    );
  }
  return findings.length > 0 ? findings : [ok('capabilities', `${whose} has what is needed`)];
};

export const policyFile: Check = ({ policyFile: file, policyErrors, policy, status }) => {
  if (policyErrors.length > 0) {
    const running = status ? '; what was in force before still is' : '';
    return policyErrors.map((error) => problem('policy', error, `correct the file${running}`));
  }
  const more = policy ? `: ${policy.apps.length} apps, default ${policy.default.controller.name}` : '';
  return [ok('policy', `${file} is valid${more}`)];
};
