/**
 * What smappd says to the service manager, and what that keeps for it over a restart: sd_notify(3),
 * sd_listen_fds(3), sd_watchdog_enabled(3) and the file descriptor store (FileDescriptorStoreMax= in
 * systemd.service(5)). The protocol is a few lines of text on a datagram socket named by the environment,
 * so it needs no library, and works with any supervisor that speaks it.
 */

/** What of the addon is needed. */
export interface NotifySocket {
  notify(socket: string, text: string, fds: readonly number[]): void;
  setCloseOnExec(fd: number, on: boolean): void;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ServiceManager {
  /** The beat that is expected, in ms; undefined when no watchdog was asked for. */
  readonly watchdog: number | undefined;
  ready(status: string): void;
  /** Followed by `ready` when the new policy is in force, or was refused. */
  reloading(): void;
  stopping(): void;
  status(text: string): void;
  beat(): void;
  /** Hands a copy of `fd` over to be kept, and given back under `name` at the next start. */
  keep(name: string, fd: number): void;
  forget(name: string): void;
}

const FIRST_FD = 3;

/**
 * The service manager to talk to, or undefined when none started us. `nanoseconds` reads CLOCK_MONOTONIC
 * (process.hrtime.bigint), by which it tells one reload from the next.
 */
export function serviceManager(
  env: Environment,
  pid: number,
  addon: NotifySocket,
  nanoseconds: () => bigint,
): ServiceManager | undefined {
  const socket = env['NOTIFY_SOCKET'];
  if (socket === undefined || !/^[/@]./.test(socket)) return undefined;
  const send = (lines: readonly string[], fds: readonly number[] = []): void =>
    addon.notify(socket, lines.join('\n'), fds);
  const microseconds = Number(env['WATCHDOG_USEC']);
  const forUs = env['WATCHDOG_PID'] === undefined || Number(env['WATCHDOG_PID']) === pid;
  return {
    watchdog: forUs && microseconds > 0 ? microseconds / 1000 : undefined,
    ready: (status) => send(['READY=1', `STATUS=${oneLine(status)}`]),
    reloading: () => send(['RELOADING=1', `MONOTONIC_USEC=${nanoseconds() / 1000n}`]),
    stopping: () => send(['STOPPING=1']),
    status: (text) => send([`STATUS=${oneLine(text)}`]),
    beat: () => send(['WATCHDOG=1']),
    // FDPOLL=0: a netlink socket that overran has an error pending (ENOBUFS), for which systemd would drop it.
    keep: (name, fd) => send(['FDSTORE=1', `FDNAME=${name}`, 'FDPOLL=0'], [fd]),
    forget: (name) => send(['FDSTOREREMOVE=1', `FDNAME=${name}`]),
  };
}

/**
 * The file descriptors that came with our start, by name ("unknown" when they have none), each made
 * close-on-exec. Empty when they were meant for another process. Throws when the environment lies.
 */
export function inheritedFds(env: Environment, pid: number, addon: NotifySocket): Map<string, number[]> {
  const found = new Map<string, number[]>();
  if (Number(env['LISTEN_PID']) !== pid) return found;
  const count = Number(env['LISTEN_FDS']);
  if (!Number.isInteger(count) || count < 0 || count > 1024) {
    throw new Error(`LISTEN_FDS="${env['LISTEN_FDS']}" is no count of file descriptors`);
  }
  const names = (env['LISTEN_FDNAMES'] ?? '').split(':');
  for (let index = 0; index < count; index++) {
    const fd = FIRST_FD + index;
    addon.setCloseOnExec(fd, true);
    const name = names[index] || 'unknown';
    found.set(name, [...(found.get(name) ?? []), fd]);
  }
  return found;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
