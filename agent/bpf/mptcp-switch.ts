/**
 * `"mptcp": true` in an app's rule: its TCP sockets become MPTCP sockets as they are made, without its
 * knowledge (native/bpf/mptcpify.bpf.c). Where the kernel does not allow that, `smappctl run` is the other way.
 * Programs and control groups are known to the kernel's side by inode numbers, which change when a package is
 * upgraded or a group made anew: `refresh` looks again. Units are known by name.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cgroupMounts } from '../apps/cgroups.ts';
import { type Bpf, type BpfObject, explainBpfError } from './addon.ts';
import {
  decidable,
  encodeRules,
  type RuleSets,
  resolveRules,
  type SwitchedApp,
  uidOf,
  undecidable,
} from './mptcp-rules.ts';

export interface MptcpSwitch {
  readonly works: boolean;
  /** How it works, or why it does not. */
  readonly reason: string;
  /** Takes these apps in place of those before; returns a sentence for each that cannot be switched. */
  configure(apps: readonly SwitchedApp[]): string[];
  /** Looks again what stands behind the names of programs and control groups. */
  refresh(): void;
  close(): void;
}

/** Never throws: where it cannot be, `configure` says so of every app that asks for it. */
export function openMptcpSwitch(bpf: Bpf | string): MptcpSwitch {
  if (typeof bpf === 'string') return unavailable(bpf);
  const settings = Buffer.alloc(8);
  let object: BpfObject | undefined;
  try {
    settings.writeBigUInt64LE(bpf.addon.netnsCookie());
    object = bpf.addon.load(join(bpf.directory, 'mptcpify.bpf.o'), ['mptcpify'], settings);
    object.attach('mptcpify');
    return available(object);
  } catch (error) {
    object?.close();
    return unavailable(
      `eBPF cannot change sockets as they are made here: ${explainBpfError(error as Error)}`,
    );
  }
}

function unavailable(reason: string): MptcpSwitch {
  return {
    works: false,
    reason,
    configure: (apps) =>
      apps
        .filter(({ mptcp }) => mptcp)
        .map(
          ({ name }) =>
            `"mptcp" of app "${name}" has no effect: ${reason}; start it with "smappctl run -- COMMAND"`,
        ),
    refresh: () => {},
    close: () => {},
  };
}

function available(object: BpfObject): MptcpSwitch {
  const rules = keepRules(object);
  return {
    works: true,
    reason: 'update_socket_protocol program',
    configure(apps) {
      const decided = rules.configure(apps);
      return apps
        .filter((app) => app.mptcp && !decided.includes(app))
        .map((app) => {
          const why = undecidable(app) ?? 'there are too many apps before it';
          return `"mptcp" of app "${app.name}" cannot be decided when a socket is made: ${why}`;
        });
    },
    refresh: rules.refresh,
    close: () => object.close(),
  };
}

export interface Rules {
  /** Takes these apps in place of those before; returns those that the kernel decides, in the order of their bits. */
  configure<App extends SwitchedApp>(apps: readonly App[]): readonly App[];
  /** As that of the switch. */
  refresh(): void;
}

/** Keeps the maps of native/bpf/app-rules.h in a loaded object. */
export function keepRules(object: BpfObject): Rules {
  const cgroupRoot = cgroupMounts(readFileSync('/proc/self/mounts', 'utf8')).unified ?? '/sys/fs/cgroup';
  const uids = new Map<string, number | undefined>();
  const names = { cgroupRoot, uidOf: (user: string) => uids.get(user) };
  let decided: readonly SwitchedApp[] = [];
  let current: RuleSets = resolveRules([], names);

  function refresh(): void {
    const next = resolveRules(decided, names);
    for (const map of Object.keys(next) as (keyof RuleSets)[]) replace(object, map, current[map], next[map]);
    current = next;
  }

  return {
    configure(apps) {
      // Sets of old and new rules must not mix: none hold while they change.
      object.update('rules', Buffer.alloc(4), encodeRules([]));
      const next = decidable(apps);
      decided = next;
      for (const user of decided.flatMap(({ match }) => match.user ?? [])) uids.set(user, uidOf(user));
      refresh();
      object.update('rules', Buffer.alloc(4), encodeRules(decided));
      return next;
    },
    refresh,
  };
}

/** Writes only what differs: mostly nothing. */
function replace(object: BpfObject, map: string, from: Map<string, bigint>, to: Map<string, bigint>): void {
  for (const key of from.keys()) if (!to.has(key)) object.remove(map, Buffer.from(key, 'hex'));
  for (const [key, set] of to) {
    if (from.get(key) === set) continue;
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(set);
    object.update(map, Buffer.from(key, 'hex'), value);
  }
}
