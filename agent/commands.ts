/** The kernel that the agent commands and reads, over netlink. */
import type { Open } from './connection.ts';
import type { Bound, Kernel } from './kernel.ts';
import type { Command, ConnectionStats, Failure, Millis, Stats, Subflow, Token } from './model.ts';
import type { PathManager } from './netlink/mptcp-pm.ts';
import type { SocketDiag } from './netlink/sock-diag.ts';
import { NetlinkError } from './netlink/socket.ts';
import type { Pinger } from './ping/pinger.ts';

const EOPNOTSUPP = 95;

export class NetlinkKernel implements Kernel {
  #pathManager: PathManager;
  #sockets: SocketDiag;
  #now: () => Millis;
  #userspaceNow: () => boolean;
  #pinger: Pick<Pinger, 'send'> | undefined;
  /** Whether the kernel heeds the backup flag of an open; undefined until one has shown it. */
  #takesBackup: boolean | undefined;

  /** `userspaceNow`: whether connections that are made now go to the userspace path manager. */
  constructor(
    pathManager: PathManager,
    sockets: SocketDiag,
    now: () => Millis,
    userspaceNow: () => boolean,
    pinger?: Pick<Pinger, 'send'>,
  ) {
    this.#pathManager = pathManager;
    this.#sockets = sockets;
    this.#now = now;
    this.#userspaceNow = userspaceNow;
    this.#pinger = pinger;
  }

  execute(token: Token, command: Command): Failure | undefined {
    if (command.kind === 'ping')
      return this.#pinger
        ? this.#pinger.send(token, command)
        : { errno: EOPNOTSUPP, message: 'there are no pings here' };
    try {
      this.#pathManager.execute(token, command);
      return undefined;
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      return { errno: error.errno, message: error.kernelMessage || error.code };
    }
  }

  /** Linux 6.1 ignores the backup flag of an open, so there the peer has to be told by MP_PRIO. */
  opened(token: Token, { backup }: Open, subflow: Subflow & Bound): void {
    if (!backup || this.#takesBackup) return;
    const { local, remote, ifindex } = subflow;
    this.#takesBackup ??= this.#sockets.subflow(local, remote, this.#now(), ifindex)?.backup;
    if (this.#takesBackup === false) this.execute(token, { kind: 'backup', subflow, on: true });
  }

  /** The command did not name a port, so the SYN's is looked up first. */
  abandon(token: Token, open: Open): void {
    for (const { local, remote, localId, remoteId, backup } of this.#sockets.subflows(
      ['syn-sent'],
      this.#now(),
    )) {
      if (local.ip !== open.local.ip || remote.ip !== open.remote.ip || remote.port !== open.remote.port)
        continue;
      const ends = { local, remote, localId, remoteId, backup };
      const subflow = { ...ends, key: '', ifname: '', since: 0, stats: undefined };
      this.execute(token, { kind: 'close', subflow }); // fails on the SYNs of other connections, and does nothing
    }
  }

  /** Asking about a connection takes its lock, which its application may need for its first bytes. */
  commandable(token: Token, newborn: boolean): boolean {
    return newborn ? this.#userspaceNow() : this.#pathManager.commandable(token);
  }

  read({ local, remote, ifindex }: Bound): Stats | undefined {
    return this.#sockets.stats(local, remote, this.#now(), ifindex);
  }

  readConnection(token: Token): ConnectionStats | undefined {
    return this.#sockets.connection(token, this.#now())?.stats;
  }
}
