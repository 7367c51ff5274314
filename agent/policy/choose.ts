/**
 * Which app of the policy has a connection, and why. Runs once for each connection, before its first
 * subflow is opened: rules are compiled once, and what costs a system call is asked for last.
 */
import ipaddr from 'ipaddr.js';
import type { Choice, Choose, ConnectionFacts } from '../choice.ts';
import { once } from '../once.ts';
import { type AppRule, type Match, matchKeys } from './apps-section.ts';
import { type Cidr, contains, type Ip, type PortRange } from './formats.ts';
import { anyGlob } from './glob.ts';
import type { Policy } from './sections.ts';

/** Who made a connection. Everything is found out when it is first asked for; undefined when it cannot be. */
export interface Identity {
  uid(): number | undefined;
  user(): string | undefined;
  /** Path of the control group below the cgroup2 mount: "/" or "/system.slice/ssh.service". */
  cgroup(): string | undefined;
  /** systemd units, the innermost first. */
  units(): readonly string[];
  exe(): string | undefined;
}

export type Identify = (facts: ConnectionFacts) => Identity;

/** A connection that is being judged. Its addresses are parsed once, however many rules ask. */
interface Subject {
  readonly facts: ConnectionFacts;
  readonly identity: Identity;
  local(): Ip;
  remote(): Ip;
}

/** Returns what matched as text for people, undefined when nothing did. */
type Test = (subject: Subject) => string | undefined;
type Compilers = { readonly [K in keyof Match]: (wanted: NonNullable<Match[K]>) => Test };

const compilers: Compilers = {
  side:
    (side) =>
    ({ facts }) =>
      facts.side === side ? side : undefined,
  localPort:
    (ranges) =>
    ({ facts }) =>
      portIn(ranges, facts.local.port),
  remotePort:
    (ranges) =>
    ({ facts }) =>
      portIn(ranges, facts.remote.port),
  localAddress: (networks) => (subject) => isIn(networks, subject.local()),
  remoteAddress: (networks) => (subject) => isIn(networks, subject.remote()),
  user(names) {
    const ids = new Set(names.filter((name) => /^\d+$/.test(name)).map(Number));
    const matches = anyGlob(names);
    return ({ identity }) => {
      const uid = identity.uid();
      if (uid === undefined) return undefined;
      if (ids.has(uid)) return String(uid);
      const user = ids.size < names.length ? identity.user() : undefined;
      return user !== undefined && matches(user) ? user : undefined;
    };
  },
  cgroup(paths) {
    const here = anyGlob(paths);
    const below = anyGlob(paths.map((path) => `${path.replace(/\/+$/, '')}/*`));
    return ({ identity }) => {
      const cgroup = identity.cgroup();
      return cgroup !== undefined && (here(cgroup) || below(cgroup)) ? cgroup : undefined;
    };
  },
  unit(names) {
    const matches = anyGlob(names);
    return ({ identity }) => identity.units().find(matches);
  },
  exe(paths) {
    const matches = anyGlob(paths);
    return ({ identity }) => {
      const exe = identity.exe();
      return exe !== undefined && matches(exe) ? exe : undefined;
    };
  },
};

function portIn(ranges: readonly PortRange[], port: number): string | undefined {
  return ranges.some(({ first, last }) => first <= port && port <= last) ? String(port) : undefined;
}

function isIn(networks: readonly Cidr[], ip: Ip): string | undefined {
  return contains(networks, ip) ? ip.toString() : undefined;
}

interface Rule {
  readonly app: AppRule;
  readonly tests: readonly { readonly key: string; readonly test: Test; readonly failure: string }[];
}

function compile(app: AppRule): Rule {
  const tests = Object.keys(matchKeys).flatMap((key) => {
    const wanted = app.match[key as keyof Match];
    const compiler = compilers[key as keyof Match] as (wanted: unknown) => Test;
    return wanted === undefined
      ? []
      : [{ key, test: compiler(wanted), failure: `not "${app.name}" by ${key}` }];
  });
  return { app, tests };
}

/** The policy as a function of connections. The first app whose every key holds has it. */
export function chooser(policy: Pick<Policy, 'apps' | 'default'>, identify: Identify): Choose {
  const rules = policy.apps.map(compile);
  if (rules.length === 0) {
    const choice = choose('', policy.default, 'the default, the policy has no apps');
    return () => choice;
  }
  return (facts): Choice => {
    const subject: Subject = {
      facts,
      identity: identify(facts),
      local: once(() => ipaddr.parse(facts.local.ip)),
      remote: once(() => ipaddr.parse(facts.remote.ip)),
    };
    const passed: string[] = [];
    for (const { app, tests } of rules) {
      const held: string[] = [];
      const failed = tests.find(({ key, test }) => {
        const value = test(subject);
        if (value !== undefined) held.push(`${key} ${value}`);
        return value === undefined;
      });
      if (!failed) {
        const why = `app "${app.name}" matches by ${held.join(', ')}`;
        return choose(app.name, app, why);
      }
      passed.push(failed.failure);
    }
    return choose('', policy.default, `the default, no app matches: ${passed.join(', ')}`);
  };
}

/** All of one shape, which the agent's compiled code relies on (agent/rehearsal.ts). */
function choose(app: string, { controller, params }: Policy['default'], why: string): Choice {
  return { app, controller, params, why };
}
