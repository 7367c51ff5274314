/**
 * What the native addon (native/build/smapp.node) gives to TypeScript. It moves bytes and file
 * descriptors and knows no message format; the caller owns every buffer. Errors are thrown as Error with
 * `code` ("ENOBUFS", ...), `errno` (positive) and `syscall`, as Node's own.
 */

export class NetlinkSocket {
  /** Opens a socket (NETLINK_EXT_ACK, CAP_ACK, strict checking; SO_RCVBUFFORCE, else SO_RCVBUF), or adopts `fd` as it is. */
  constructor(protocol: number, receiveBuffer: number, fd?: number);
  readonly fd: number;
  /** Our address in netlink (nl_pid). */
  readonly portId: number;
  /** Size of the receive buffer that the kernel granted, in bytes. */
  readonly receiveBuffer: number;
  join(group: number): void;
  /**
   * Sends the first `length` bytes of `message`, puts the datagram that answers at once into `reply` and
   * returns its length: the kernel runs the handler inside send(), so the answer is there when that returns.
   * 0 when there is none.
   */
  request(message: Uint8Array, length: number, reply: Uint8Array): number;
  /** The next datagram, or 0 when none is there. EMSGSIZE when it did not fit. */
  receive(reply: Uint8Array): number;
  /**
   * Watches the socket in the event loop, and keeps the process alive. Datagram i of `count` lies in slot i of
   * `buffer` (of buffer.length / lengths.length bytes) and has lengths[i] bytes, -1 when it was longer than
   * a slot. `onError` gets ENOBUFS after lost messages, and watching goes on; any other errno ends it. An
   * exception from a callback becomes an uncaughtException. At most 256 slots.
   */
  watch(
    buffer: Uint8Array,
    lengths: Int32Array,
    onDatagrams: (count: number) => void,
    onError: (errno: number) => void,
  ): void;
  unwatch(): void;
  close(): void;
}

/**
 * TCP segments that the kernel's TCP does not know of, between two addresses (raw(7); needs CAP_NET_RAW). What comes is SYN
 * and RST segments only, from the remote address; IPv4 ones with their IP header.
 */
export class RawTcpSocket {
  /** `interfaceName` is SO_BINDTODEVICE. */
  constructor(local: string, remote: string, interfaceName?: string);
  /** Sends the first `length` bytes of `segment`, whose checksum is the caller's. */
  send(segment: Uint8Array, length: number): void;
  /** As those of NetlinkSocket. */
  watch(
    buffer: Uint8Array,
    lengths: Int32Array,
    onDatagrams: (count: number) => void,
    onError: (errno: number) => void,
  ): void;
  unwatch(): void;
  close(): void;
}

/** A non-blocking, close-on-exec stream socket, MPTCP (protocol 262) unless `tcp`; for `new net.Socket({ fd })`. */
export function streamSocket(family: 4 | 6, tcp?: boolean): number;
/** SO_REUSEADDR, then bind; port 0 lets the kernel choose. `interfaceName` is SO_BINDTODEVICE. */
export function bindSocket(fd: number, ip: string, port: number, interfaceName?: string): void;
export function setSocketOption(fd: number, level: number, name: number, value: number): void;
export function closeFd(fd: number): void;

/** sendmsg to a systemd notification socket (path, or "@" and an abstract name), with file descriptors if any. */
export function notify(socket: string, text: string, fds: readonly number[]): void;
/** Sets or clears close-on-exec; throws EBADF when the number is no open file descriptor. */
export function setCloseOnExec(fd: number, on: boolean): void;
/** The process at the other end of a connected unix socket, as it was when it connected (SO_PEERCRED). */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number };
