/** Whether a packet from each address leaves by the address's own link, and whether answers are let in there. */
import { isDefault, type UsableAddress, usableAddresses } from '../host/usable.ts';
import { hostSettings } from '../policy/host.ts';
import { type Check, type Finding, note, ok, type Patient, problem } from './finding.ts';

/** Destinations that only a default route leads to (RFC 5737, RFC 3849). */
const ELSEWHERE = { 4: '192.0.2.1', 6: '2001:db8:ffff:ffff::1' } as const;

export const routing: Check = (patient) => {
  const { network, policy } = patient;
  if (!policy)
    return [note('routing', 'not looked at, as the policy that says which addresses count is not valid')];
  const state = network.read();
  const { addresses: rules, sourceRouting } = hostSettings(policy);
  const usable = usableAddresses(state, rules);
  const live = usable.filter((address) => address.live);
  const findings: Finding[] = usable
    .filter((address) => !address.live)
    .map(({ ip, ifname }) => note('addresses', `${ip} waits: ${ifname} is down or has no carrier`));
  if (live.length === 0) {
    findings.push(
      problem(
        'addresses',
        'no address of this host may be used for subflows',
        'bring a link up, or name its interface in the policy ("interfaces")',
      ),
    );
  } else if (new Set(live.map(({ ifname }) => ifname)).size === 1) {
    const [{ ifname }] = live as [UsableAddress];
    findings.push(note('addresses', `only ${ifname} can be used: there is no second path`));
  }
  const names = new Map(state.links.map(({ ifindex, ifname }) => [ifindex, ifname]));
  for (const { ip, family, ifname, ifindex } of live) {
    if (
      !state.routes.some((route) => route.ifindex === ifindex && route.family === family && isDefault(route))
    ) {
      findings.push(
        note('routing', `${ip}: ${ifname} has no default route, so it reaches its own network only`),
      );
      continue;
    }
    const leaves = network.routeOf(ip, ELSEWHERE[family]);
    if (leaves === ifindex) {
      findings.push(ok('routing', `${ip} leaves by ${ifname}`));
      continue;
    }
    const wrong = leaves === undefined ? 'has no route' : `leaves by ${names.get(leaves) ?? leaves}`;
    const message = `a packet from ${ip} (${ifname}) ${wrong}`;
    if (!sourceRouting) {
      findings.push(
        problem(
          'routing',
          message,
          'set "routing": true in the policy, or add a rule and a table for this address',
        ),
      );
    } else if (patient.status) {
      findings.push(
        problem(
          'routing',
          `${message} although smappd routes by source`,
          'see the log: journalctl -u smappd',
        ),
      );
    } else findings.push(note('routing', `${message}; smappd sets source routing up when it runs`));
    if (filterOf(patient, ifname) === 1) {
      findings.push(
        note(
          'rp-filter',
          `${ifname} drops what arrives from where its own routes do not lead (rp_filter 1): answers to ${ip} among it`,
          `with the routing above it passes; else sysctl -w net.ipv4.conf.${ifname}.rp_filter=2`,
        ),
      );
    }
  }
  return findings;
};

/** The kernel takes the larger of the two (Documentation/networking/ip-sysctl.rst). */
function filterOf({ read }: Patient, ifname: string): number {
  const of = (name: string): number => Number(read(`/proc/sys/net/ipv4/conf/${name}/rp_filter`) ?? 0);
  return Math.max(of('all'), of(ifname));
}
