/**
 * What the second native addon (native/build/bpf.node, left out where libbpf or clang is missing) gives
 * to TypeScript: libbpf without knowledge of any particular program. Errors are thrown as Error with
 * `code` ("EPERM", ...), `errno` (positive) and `log` (libbpf's and the verifier's own words).
 */

export interface BpfObject {
  /**
   * Attaches a program: one for cgroups to the directory behind the file descriptor `cgroup`, any other
   * where its section says. The attachment ends with `close`, or with the process, however that ends.
   */
  attach(program: string, cgroup?: number): void;
  /** Runs an iterator program once over all objects of its kind (sockets: of our network namespace). */
  iterate(program: string): void;
  /** The value under `key` (a copy), or undefined. A variable's section is a map with the key 0 (32 bits). */
  lookup(map: string, key: Uint8Array): Buffer | undefined;
  /** Sets the value under `key`. */
  update(map: string, key: Uint8Array, value: Uint8Array): void;
  /** Removes `key`; false when it was not there. */
  remove(map: string, key: Uint8Array): boolean;
  /**
   * Delivers what programs write to a ring buffer, from the event loop as it comes: record i lies at
   * i * `recordSize` in `records`, a view that is good until the callback returns. Once per object. An
   * exception from the callback becomes an uncaughtException.
   */
  watch(map: string, recordSize: number, onRecords: (records: Buffer, count: number) => void): void;
  /** Detaches and unloads everything. */
  close(): void;
}

/**
 * Loads the named programs of an object file. `settings` becomes its section `.rodata.settings`, which
 * must have that size.
 */
export function load(file: string, programs: readonly string[], settings?: Uint8Array): BpfObject;

/** The kernel's name of our network namespace (SO_NETNS_COOKIE). */
export function netnsCookie(): bigint;
/** Length of the kernel's clock tick (1 / CONFIG_HZ), in µs. */
export function tickMicroseconds(): number;
/** A descriptor of the root of a cgroup v2 mount that appears in no mount table. Needs CAP_SYS_ADMIN. */
export function mountCgroup2(): number;
