/** The control socket in front of the simulated agent, and smappctl run against it within this process. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CommandLine, Terminal } from '../../agent/cli/command.ts';
import { dispatch } from '../../agent/cli/dispatch.ts';
import { commands } from '../../agent/cli/table.ts';
import { machineClock } from '../../agent/clock.ts';
import { agentDaemon } from '../../agent/control/agent-daemon.ts';
import type { Daemon } from '../../agent/control/daemon.ts';
import { type ControlServer, type Peer, serveControl } from '../../agent/control/server.ts';
import { RtnetlinkHost } from '../../agent/host/rtnetlink.ts';
import { loadAddon } from '../../agent/netlink/addon.ts';
import type { Controller } from '../../controllers/controller.ts';
import { Simulation } from './simulation.ts';

/** 2026-01-01T00:00:00Z, when every simulation starts. */
export const EPOCH = Date.UTC(2026, 0, 1);

export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export class ControlledSimulation extends Simulation {
  readonly folder = mkdtempSync(join(tmpdir(), 'smappd-control-'));
  readonly path = join(this.folder, 'control.sock');
  /** Who the next clients are. */
  peer: Peer = { pid: 1, uid: 0, gid: 0 };
  admins: readonly number[] = [];
  readonly daemon: Daemon;
  server: ControlServer | undefined;

  constructor(controller: Controller, locals: readonly string[]) {
    super(controller, locals);
    this.daemon = agentDaemon(this.agent, {
      version: '0.0.0',
      pid: 42,
      kernel: '6.18.0',
      epoch: EPOCH,
      timeouts: () => 'sampling',
      problems: () => [],
      policy: () => ({ file: '/etc/smappd/policy.json', loaded: new Date(EPOCH).toISOString() }),
      mayChange: (uid) => this.admins.includes(uid),
      reload: async () => ({
        file: '/etc/smappd/policy.json',
        ok: false,
        errors: ['policy.json:1:1: : bad'],
      }),
    });
  }

  async serve(path = this.path): Promise<ControlServer> {
    return await serveControl(this.daemon, {
      path,
      gid: undefined,
      peerCredentials: () => this.peer,
    });
  }

  async start(): Promise<void> {
    this.server = await this.serve();
  }

  async end(): Promise<void> {
    await this.server?.close();
    rmSync(this.folder, { recursive: true });
  }

  /** `smappctl ARGS`; `watch` sees what was written so far and says when the user interrupts. */
  async smappctl(args: readonly string[], watch?: (out: string) => boolean): Promise<Ran> {
    return await run(['--control', this.path, ...args], commands, EPOCH + this.clock.now(), watch);
  }
}

export async function run(
  args: readonly string[],
  table: readonly CommandLine[],
  today = EPOCH,
  watch: (out: string) => boolean = () => false,
): Promise<Ran> {
  let out = '';
  let err = '';
  let interrupt: () => void = () => {};
  const interrupted = new Promise<void>((done) => {
    interrupt = done;
  });
  const terminal: Terminal = {
    write(text) {
      out += text;
      if (watch(out)) interrupt();
    },
    complain(text) {
      err += text;
    },
    columns: 120,
    rows: 40,
    interactive: false,
    colours: false,
    env: {},
    uid: 0,
    node: '/usr/bin/node',
    home: fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, ''),
    network: async () => new RtnetlinkHost(loadAddon()),
    clock: machineClock,
    today: () => today,
    interrupted: () => interrupted,
    passSignals: () => {},
  };
  const status = await dispatch(args, table, '0.0.0', terminal);
  return { status, out, err };
}
