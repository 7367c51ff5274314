/**
 * From a connection to the application that made it: owner, control group, systemd units, program.
 *
 * Everything is found out when a rule first asks for it. One exact question to sock_diag tells what the
 * kernel keeps with the socket; only the program needs /proc, and where eBPF saw who connected, or all
 * processes of the control group run the same program, not even their open files are looked at.
 */
import { readFileSync } from 'node:fs';
import { Cgroups, cgroupMounts, unitsOf } from './apps/cgroups.ts';
import { Processes } from './apps/processes.ts';
import { Users } from './apps/users.ts';
import type { ConnectionFacts } from './choice.ts';
import type { Address, Millis, Token } from './model.ts';
import { once } from './once.ts';
import type { Identity } from './policy/choose.ts';

/** What the kernel keeps with a socket (linux/inet_diag.h). */
export interface SocketOwner {
  /** 0 while the application has not accepted the connection; then older kernels give 0 as `uid` too. */
  readonly inode: number;
  readonly uid: number;
  /** Number of its control group; 0 when the kernel does not say. */
  readonly cgroup: number;
}

export interface AppPorts {
  now(): Millis;
  /** The application's socket of a connection; undefined when it is gone. */
  socket(token: Token): SocketOwner | undefined;
  /** The socket that listens at this address, at which a connection came in. */
  listener(at: Address): SocketOwner | undefined;
  /** The process that called connect(), where eBPF has seen it. */
  process(token: Token): number | undefined;
}

export class Apps {
  readonly #ports: AppPorts;
  readonly #cgroups: Cgroups;
  readonly #systemdV1: boolean;
  readonly #processes: Processes;
  readonly #users: Users;

  constructor(ports: AppPorts, proc = '/proc') {
    const { unified, systemdV1 } = cgroupMounts(readFileSync(`${proc}/mounts`, 'utf8'));
    this.#ports = ports;
    this.#cgroups = new Cgroups(unified);
    this.#systemdV1 = systemdV1;
    this.#processes = new Processes(proc);
    this.#users = new Users(ports.now);
  }

  identify(facts: ConnectionFacts): Identity {
    const socket = once(() => {
      const own = this.#ports.socket(facts.token);
      // Not accepted yet: who listens will have it.
      return own?.inode === 0 && facts.side === 'server' ? (this.#ports.listener(facts.local) ?? own) : own;
    });
    const uid = (): number | undefined => (socket()?.inode === 0 ? undefined : socket()?.uid);
    const cgroup = once(() => {
      const id = socket()?.cgroup;
      return id ? this.#cgroups.pathOf(id) : undefined;
    });
    const neighbours = once(() => {
      const path = cgroup();
      return path === undefined ? [] : this.#cgroups.processesIn(path);
    });
    /** The process that called connect(), while it lives. */
    const caller = once(() => {
      const pid = this.#ports.process(facts.token);
      return pid !== undefined && this.#processes.exeOf(pid) !== undefined ? pid : undefined;
    });
    const process = once(() => {
      const inode = socket()?.inode;
      return caller() ?? (inode ? this.#processes.ownerOf(inode, neighbours()) : undefined);
    });
    /** The program of all processes in the group; a service manager passes the sockets in its own on to others. */
    const common = (): string | undefined =>
      cgroup()?.endsWith('/init.scope') ? undefined : this.#processes.commonExe(neighbours());
    return {
      uid,
      user: once(() => {
        const id = uid();
        return id === undefined ? undefined : this.#users.nameOf(id);
      }),
      cgroup,
      units: once(() => {
        const path = cgroup();
        if (!this.#systemdV1 || (path !== undefined && path !== '/')) return unitsOf(path ?? '');
        const pid = process();
        return unitsOf((pid === undefined ? undefined : this.#processes.systemdPathOf(pid)) ?? '');
      }),
      exe: once(() => {
        const shared = caller() === undefined ? common() : undefined;
        if (shared !== undefined) return shared;
        const pid = process();
        return pid === undefined ? undefined : this.#processes.exeOf(pid);
      }),
    };
  }
}
