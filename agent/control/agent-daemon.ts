/** The real daemon behind the control socket: answers of `Daemon` drawn from the agent's live state. */
import { endpoint, type LiveConnection, type LiveSubflow } from '../connection.ts';
import { readConnections, readStats } from '../converter/status.ts';
import { describe } from '../execution.ts';
import type { Millis, Stats } from '../model.ts';
import { record } from '../record.ts';
import type { Agent } from '../runtime.ts';
import type { Decision } from '../trail.ts';
import { resolveChange } from './change.ts';
import type { ConnectionJson, Daemon, DecisionJson, ReloadJson, StatusJson, SubflowJson } from './daemon.ts';

/** What the composition root knows and the agent does not. */
export interface Host {
  readonly version: string;
  readonly pid: number;
  readonly kernel: string;
  /** Milliseconds since 1970 at the agent clock's zero. */
  readonly epoch: number;
  readonly timeouts: () => string;
  readonly problems: () => readonly string[];
  readonly policy: () => StatusJson['policy'];
  readonly mayChange: (uid: number) => boolean;
  readonly reload: () => Promise<ReloadJson>;
  /** Where the converter's data path answers; undefined when the policy wants none. */
  readonly converter?: () => string | undefined;
}

export function agentDaemon(agent: Agent, host: Host): Daemon {
  const since = agent.now();
  const counts = { events: 0, resyncs: 0, done: 0, failed: 0 };
  agent.observe({
    event: () => {
      counts.events += 1;
    },
    resynced: () => {
      counts.resyncs += 1;
    },
    decision: (_connection, { command, failure }) => {
      if (command && !failure) counts.done += 1;
      else if (command) counts.failed += 1;
    },
    failed: () => {
      counts.done -= 1;
      counts.failed += 1;
    },
  });
  let counted = { subflows: 0, uncommanded: 0, controllers: {} as Record<string, number> };
  let countAgain = 0;
  /** Looks at every connection, some 15 ms for 100 thousand; so seldom that it costs a hundredth of the time. */
  const count = (): void => {
    const begun = agent.now();
    const controllers = new Map<string, number>();
    let subflows = 0;
    let uncommanded = 0;
    for (const connection of agent.connections.values()) {
      subflows += connection.subflows.length;
      const { name } = connection.choice.controller;
      if (connection.commandable) controllers.set(name, (controllers.get(name) ?? 0) + 1);
      else uncommanded += 1;
    }
    counted = { subflows, uncommanded, controllers: Object.fromEntries(controllers) };
    const took = agent.now() - begun;
    countAgain = took < 1 ? 0 : begun + 100 * took;
  };
  const iso = (at: Millis): string => new Date(host.epoch + at).toISOString();
  const decisionJson = (connection: LiveConnection, decision: Decision): DecisionJson => ({
    at: iso(decision.at),
    why: decision.why,
    ...told(connection, decision),
  });

  return {
    status() {
      if (agent.now() >= countAgain) count();
      return {
        version: host.version,
        pid: host.pid,
        since: iso(since),
        kernel: host.kernel,
        policy: host.policy(),
        connections: agent.connections.size,
        ...counted,
        events: counts.events,
        resyncs: counts.resyncs,
        commands: { done: counts.done, failed: counts.failed },
        timeouts: host.timeouts(),
        problems: host.problems(),
        locals: agent.locals.map(({ ip, id, ifname, role, metered }) => ({ ip, id, ifname, role, metered })),
      };
    },
    tokens: () => agent.connections.keys(),
    has: (token) => agent.connections.has(token),
    connection(token, fresh) {
      const connection = agent.connections.get(token);
      return connection && connectionJson(connection, fresh, iso);
    },
    explain(token) {
      const connection = agent.connections.get(token);
      if (!connection) return undefined;
      const { choice, trail, commandable } = connection;
      return {
        token,
        app: choice.app,
        rule: commandable
          ? choice.why
          : 'the in-kernel path manager has this connection: it was made before net.mptcp.pm_type was 1',
        controller: commandable ? choice.controller.name : '',
        params: choice.params,
        decisions: (trail?.decisions ?? []).map((decision) => decisionJson(connection, decision)),
        forgotten: trail?.forgotten ?? 0,
      };
    },
    perform(token, change, why) {
      const connection = agent.connections.get(token);
      if (!connection) {
        return { ok: false, reason: 'not-found', message: 'the connection has just closed', choices: [] };
      }
      const resolved = resolveChange(connection, change);
      if ('message' in resolved) return { ok: false, reason: 'not-found', ...resolved };
      const failure = agent.command(connection, resolved, why);
      return failure ? { ok: false, reason: 'refused', failure } : { ok: true, command: describe(resolved) };
    },
    reload: host.reload,
    converter() {
      const socket = host.converter?.();
      return socket === undefined
        ? undefined
        : { stats: () => readStats(socket), connections: () => readConnections(socket) };
    },
    record: (write) =>
      record(agent, { epoch: host.epoch, version: host.version, kernel: host.kernel }, write),
    mayChange: host.mayChange,
    observe(see) {
      const decided = (connection: LiveConnection, decision: Decision, at: Millis): void =>
        see({
          kind: 'decision',
          at: host.epoch + at,
          token: connection.token,
          why: decision.why,
          ...told(connection, decision),
        });
      return agent.observe({
        event: (event, at) => see({ kind: 'event', at: host.epoch + at, event }),
        decision: (connection, decision) => decided(connection, decision, decision.at),
        failed: (connection, decision) => decided(connection, decision, agent.now()),
      });
    },
  };
}

function told(
  connection: LiveConnection,
  { command, failure }: Decision,
): { command?: string; outcome?: string } {
  if (!command) return {};
  const waiting = connection.pending?.some((open) => open.command === command);
  const outcome = failure
    ? `failed: ${failure.message} (errno ${failure.errno})`
    : waiting
      ? 'waiting'
      : 'done';
  return { command: describe(command), outcome };
}

function connectionJson(
  connection: LiveConnection,
  fresh: boolean,
  iso: (at: Millis) => string,
): ConnectionJson {
  const { token, side, app, choice, commandable, since, subflows, remotes } = connection;
  return {
    token,
    side,
    app,
    controller: commandable ? choice.controller.name : '',
    local: subflows[0] ? endpoint(subflows[0].local) : '',
    remote: remotes[0] ? endpoint(remotes[0]) : '',
    since: iso(since),
    commanded: commandable,
    subflows: subflows.map((subflow) =>
      subflowJson(subflow, (fresh ? connection.read(subflow) : undefined) ?? subflow.stats),
    ),
  };
}

function subflowJson(subflow: LiveSubflow, stats: Stats | undefined): SubflowJson {
  return {
    key: subflow.key,
    ifname: subflow.ifname,
    local: endpoint(subflow.local),
    remote: endpoint(subflow.remote),
    backup: subflow.backup,
    state: stats?.state ?? 'established',
    rtt_us: stats ? Math.round(stats.srtt * 1000) : null,
    rto_us: stats ? Math.round(stats.rto * 1000) : null,
    pacing_rate: stats?.pacingRate ?? null,
    bytes_acked: stats?.bytesAcked ?? null,
    bytes_received: stats?.bytesReceived ?? null,
    retransmits: stats?.totalRetransmits ?? null,
  };
}
