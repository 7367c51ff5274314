/**
 * The network that netns tests and the demo run in: a client and a server namespace with N parallel
 * paths between them, straight or through a router, shaped and lossy on demand.
 *
 * Addresses of path i (from 0; n = i + 1):
 *   straight   client 10.0.n.2, 2001:db8:0:n::2 - server 10.0.n.1, 2001:db8:0:n::1
 *   router     client as above - router 10.0.n.1, 2001:db8:0:n::1; server 10.1.0.2, 2001:db8:1::2 for all paths
 * The client's interfaces are `path0`, `path1`, ... unless named; their far ends have the same names. With a
 * router the server's link is `uplink`.
 *
 * Names carry the process id. Everything goes at `remove()`, at exit and at SIGINT or SIGTERM; what a
 * SIGKILL left is swept by the next network that is made.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';

const PREFIX = 'smappd-test';
const existing = new Set<Namespace>();
let made = 0;

/** One network namespace. Commands run in it by nsenter, which leaves /sys and so the cgroup tree in place. */
export class Namespace {
  readonly name: string;
  readonly #children = new Set<ChildProcess>();

  constructor(role: string) {
    this.name = `${PREFIX}-${process.pid}-${made++}-${role}`;
    if (existing.size === 0) firstNamespace();
    execFileSync('ip', ['netns', 'add', this.name]);
    existing.add(this);
  }

  /** For setns, `nsenter --net=PATH` or systemd's NetworkNamespacePath=. */
  get path(): string {
    return `/run/netns/${this.name}`;
  }

  /** Runs a command to its end and returns what it printed; throws, with its error output, when it fails. */
  run(command: string, ...args: string[]): string {
    return execFileSync('nsenter', [`--net=${this.path}`, command, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Starts a command that `remove()` ends if it still runs. */
  start(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn('nsenter', [`--net=${this.path}`, command, ...args], options);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** `ip` commands, one a line, as one batch; `rule` needs to be told of IPv6. */
  ip(lines: string, family: 4 | 6 = 4): void {
    execFileSync('ip', [...(family === 6 ? ['-6'] : []), '-n', this.name, '-batch', '-'], {
      input: lines,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
  }

  /** Sets `net.*` sysctls of this namespace. */
  sysctl(settings: Readonly<Record<string, string | number>>): void {
    const lines = Object.entries(settings).map(([name, value]) => `echo '${value}' > ${sysctlPath(name)}`);
    this.run('sh', '-ec', lines.join('\n'));
  }

  /**
   * Has one processor handle what comes in at an interface, as a network card has for each flow, and not whichever sent
   * it (RPS). Without it, data right behind a handshake's third packet may be answered by a RST: Linux before 6.19 does
   * not find the socket while that packet's processor puts it in the request's place (inet_ehash_insert).
   * Several processors an interface will not do: one abort in some hundreds then left the peer's connection
   * for net.mptcp.close_timeout (60 s), because the RSTs of closed subflows overtook the fast close. It seems that they
   * have another hash than their flow.
   */
  steerPackets(): void {
    const script = `mount -t sysfs sysfs /sys
      n=0
      for queue in /sys/class/net/*/queues/rx-*/rps_cpus; do
        echo $((1 << n % ${Math.min(cpus().length, 4)})) > $queue
        n=$((n + 1))
      done`;
    this.run('unshare', '--mount', 'sh', '-ec', script);
  }

  readSysctl(name: string): string {
    return this.run('cat', sysctlPath(name)).trim();
  }

  remove(): void {
    if (!existing.delete(this)) return;
    for (const child of this.#children) child.kill('SIGKILL');
    removeNamespace(this.name);
  }
}

export interface NetworkOptions {
  /** Parallel paths; 2 when not given. */
  readonly paths?: number;
  /** Names of the client's interfaces, instead of `path0`, `path1`, ... */
  readonly names?: readonly string[];
  /** Puts a router between the client's paths and the server's single link. */
  readonly router?: boolean;
  /** A table and rule per client address, as smappd makes them; true when not given. */
  readonly sourceRouting?: boolean;
  /** tc's rate of every path, both ways; "1gbit" when not given. MPTCP stalls on unshaped veth links. */
  readonly rate?: string;
  /** Puts MPTCP under the userspace path manager on client and server; true when not given. */
  readonly userspace?: boolean;
}

export interface Network {
  readonly client: Namespace;
  readonly server: Namespace;
  readonly router: Namespace | undefined;
  readonly paths: readonly Path[];
  remove(): void;
}

/** One link of the client. */
export class Path {
  readonly ifname: string;
  readonly client: { readonly ip4: string; readonly ip6: string };
  /** The address that the server has on this path (with a router: its only one). */
  readonly server: { readonly ip4: string; readonly ip6: string };
  readonly gateway: { readonly ip4: string; readonly ip6: string };
  readonly #near: Namespace;
  readonly #far: Namespace;

  constructor(index: number, ifname: string, near: Namespace, far: Namespace, router: boolean) {
    const n = index + 1;
    this.ifname = ifname;
    this.client = { ip4: `10.0.${n}.2`, ip6: `2001:db8:0:${n}::2` };
    this.gateway = { ip4: `10.0.${n}.1`, ip6: `2001:db8:0:${n}::1` };
    this.server = router ? { ip4: '10.1.0.2', ip6: '2001:db8:1::2' } : this.gateway;
    this.#near = near;
    this.#far = far;
  }

  /** Limits both directions; `queue` is the longest time in milliseconds that a packet waits. */
  shape(rate: string, queue = 50): void {
    const qdisc = `qdisc replace dev ${this.ifname} root tbf rate ${rate} burst 32k latency ${queue}ms\n`;
    for (const end of [this.#near, this.#far]) {
      execFileSync('tc', ['-n', end.name, '-batch', '-'], {
        input: qdisc,
        stdio: ['pipe', 'ignore', 'pipe'],
      });
    }
  }

  /** Drops so many packets of a hundred at random, each way, where they arrive. */
  loss(percent: number): void {
    const table = `table inet loss-${this.ifname}`;
    const chain = `chain arriving {
      type filter hook prerouting priority raw
      iifname "${this.ifname}" numgen random mod 1000 <= ${Math.round(percent * 10) - 1} counter drop
    }`;
    const clear = `${table} {}\ndelete ${table}\n`;
    for (const end of [this.#near, this.#far]) {
      execFileSync('nsenter', [`--net=${end.path}`, 'nft', '-f', '-'], {
        input: percent > 0 ? `${clear}${table} {\n${chain}\n}\n` : clear,
        stdio: ['pipe', 'ignore', 'pipe'],
      });
    }
  }

  /** Takes the carrier from the client's interface, or gives it back: what pulling a cable does. */
  carrier(on: boolean): void {
    this.#far.ip(`link set ${this.ifname} ${on ? 'up' : 'down'}\n`);
  }

  /** Sets the client's interface administratively up or down. */
  admin(up: boolean): void {
    this.#near.ip(`link set ${this.ifname} ${up ? 'up' : 'down'}\n`);
  }
}

/** Makes a network, ready for traffic when it returns. */
export function makeNetwork(options: NetworkOptions = {}): Network {
  const client = new Namespace('client');
  const server = new Namespace('server');
  const router = options.router ? new Namespace('router') : undefined;
  const remove = () => {
    for (const namespace of [client, server, router]) namespace?.remove();
  };
  try {
    const far = router ?? server;
    const count = options.paths ?? options.names?.length ?? 2;
    const paths = Array.from(
      { length: count },
      (_, i) => new Path(i, options.names?.[i] ?? `path${i}`, client, far, router !== undefined),
    );
    for (const namespace of [client, server]) prepareHost(namespace, options.userspace ?? true);
    if (router) joinServer(router, server);
    far.ip(paths.map((path) => farEnd(path, client)).join(''));
    client.ip(paths.map(nearEnd).join(''));
    if (!router) server.ip(paths.map(({ ifname, client: to }, i) => defaultRoutes(ifname, to, i)).join(''));
    if (options.sourceRouting ?? true) {
      client.ip(
        paths.map((path, i) => sourceRoute(path.ifname, path.client.ip4, path.gateway.ip4, i)).join(''),
      );
      client.ip(
        paths.map((path, i) => sourceRoute(path.ifname, path.client.ip6, path.gateway.ip6, i)).join(''),
        6,
      );
    }
    for (const path of paths) path.shape(options.rate ?? '1gbit');
    return { client, server, router, paths, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

function sysctlPath(name: string): string {
  return `/proc/sys/${name.replaceAll('.', '/')}`;
}

const FORGIVING = {
  'net.ipv4.conf.all.rp_filter': 0,
  'net.ipv4.conf.default.rp_filter': 0,
  // Addresses, the link-local ones too, are good at once.
  'net.ipv6.conf.default.accept_dad': 0,
};

function prepareHost(namespace: Namespace, userspace: boolean): void {
  namespace.sysctl({
    ...FORGIVING,
    'net.mptcp.enabled': 1,
    'net.mptcp.pm_type': userspace ? 1 : 0,
    // One lost SYN would turn MPTCP off for an hour (since Linux 6.12).
    ...(existsSync('/proc/sys/net/mptcp/blackhole_timeout') && { 'net.mptcp.blackhole_timeout': 0 }),
    // The default stalls transfers over veth links.
    'net.ipv4.tcp_rmem': '4096 4194304 8388608',
  });
  namespace.ip('link set lo up\n');
}

function joinServer(router: Namespace, server: Namespace): void {
  router.sysctl({ ...FORGIVING, 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
  router.ip(`
    link set lo up
    link add server0 type veth peer name uplink netns ${server.name}
    addr add 10.1.0.1/24 dev server0
    addr add 2001:db8:1::1/64 dev server0 nodad
    link set server0 up
  `);
  server.ip(`
    addr add 10.1.0.2/24 dev uplink
    addr add 2001:db8:1::2/64 dev uplink nodad
    link set uplink up
    route add default via 10.1.0.1
    route add default via 2001:db8:1::1
  `);
}

function farEnd({ ifname, gateway }: Path, client: Namespace): string {
  return `
    link add ${ifname} type veth peer name ${ifname} netns ${client.name}
    addr add ${gateway.ip4}/24 dev ${ifname}
    addr add ${gateway.ip6}/64 dev ${ifname} nodad
    link set ${ifname} up
  `;
}

/** Default routes lead through all paths, the first one preferred; without a router each end is the other's gateway. */
function nearEnd({ ifname, client, gateway }: Path, index: number): string {
  return `
    addr add ${client.ip4}/24 dev ${ifname}
    addr add ${client.ip6}/64 dev ${ifname} nodad
    link set ${ifname} up
    ${defaultRoutes(ifname, gateway, index)}
  `;
}

function defaultRoutes(ifname: string, gateway: Path['gateway'], index: number): string {
  return `
    route add default via ${gateway.ip4} dev ${ifname} metric ${100 + index}
    route add default via ${gateway.ip6} dev ${ifname} metric ${100 + index}
  `;
}

function sourceRoute(ifname: string, source: string, gateway: string, index: number): string {
  return `
    route add default via ${gateway} dev ${ifname} table ${100 + index}
    rule add from ${source} lookup ${100 + index}
  `;
}

/** Ends what still runs in the namespace before its name goes: a process would keep it alive. */
function removeNamespace(name: string): void {
  for (const pid of execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).split('\n')) {
    if (pid !== '' && Number(pid) !== process.pid) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // Ended by itself meanwhile.
      }
    }
  }
  execFileSync('ip', ['netns', 'delete', name]);
}

function removeAll(): void {
  for (const namespace of existing) namespace.remove();
}

let guarded = false;

function firstNamespace(): void {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root: run this with sudo');
  if (guarded) return;
  guarded = true;
  process.once('exit', removeAll);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      removeAll();
      process.kill(process.pid, signal);
    });
  }
  sweep();
}

/** Removes namespaces of test processes that are no more. */
function sweep(): void {
  for (const name of namespaceNames()) {
    const [, pid] = new RegExp(`^${PREFIX}-(\\d+)-`).exec(name) ?? [];
    if (pid === undefined) continue;
    try {
      process.kill(Number(pid), 0);
    } catch {
      try {
        removeNamespace(name);
      } catch {
        // Another process swept it at the same time.
      }
    }
  }
}

function namespaceNames(): string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    return [];
  }
}
