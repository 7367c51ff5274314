/**
 * Starts a command with MPTCP in place of TCP, without changing it: for `smappctl run`, where the kernel does
 * not let eBPF do it, or where only one run of a program is meant.
 *
 * Programs that use the C library get a preload library (native/preload/mptcp.c), Go programs, which do not,
 * are asked by GODEBUG. All that they start inherits both.
 */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface Launch {
  /** The file that is run. */
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What was done, and what will not work, a sentence each. */
  readonly notes: readonly string[];
}

/**
 * `preload` is native/build/mptcp-preload.so. Throws when there is no such command, or when neither way can
 * reach it.
 */
export function prepareLaunch(
  [command, ...args]: readonly [string, ...string[]],
  env: Readonly<Record<string, string | undefined>>,
  preload: string,
): Launch {
  if (!existsSync(preload)) throw new Error(`${preload} is missing: make --directory=native`);
  const program = findProgram(command, env['PATH'] ?? '/usr/bin:/bin');
  const kind = kindOf(program);
  if (kind === 'static') {
    throw new Error(
      `${program} is linked statically and is no Go program: only eBPF can change its sockets ("mptcp": true in the policy)`,
    );
  }
  const notes = [
    kind === 'go'
      ? `${program} is a Go program: GODEBUG=multipathtcp=1 (Go 1.21 and later)`
      : `${program} runs with LD_PRELOAD=${preload}, and GODEBUG=multipathtcp=1 for Go programs that it starts`,
  ];
  if (statSync(program).mode & 0o6000)
    notes.push(
      `${program} takes on another user or group (setuid): unless that is yours already, this has no effect`,
    );
  return {
    program,
    args,
    env: {
      ...env,
      LD_PRELOAD: joined(preload, ':', env['LD_PRELOAD']),
      // The last one counts.
      GODEBUG: joined(env['GODEBUG'], ',', 'multipathtcp=1'),
    },
    notes,
  };
}

function joined(...[first, separator, second]: [string | undefined, string, string | undefined]): string {
  return [first, second].filter(Boolean).join(separator);
}

/** As a shell would find it. */
function findProgram(command: string, path: string): string {
  const places = command.includes('/')
    ? [command]
    : path.split(':').map((folder) => join(folder || '.', command));
  const found = places.find((place) => {
    const status = statSync(place, { throwIfNoEntry: false });
    return status?.isFile() && status.mode & 0o111;
  });
  if (found === undefined) throw new Error(`there is no program "${command}"`);
  return found;
}

/**
 * How a program finds its socket(2): by the dynamic linker, by Go's own runtime, or not in a way that can be
 * changed from outside. Scripts count as dynamic: their interpreter gets the same environment.
 */
export function kindOf(program: string): 'dynamic' | 'go' | 'static' {
  const fd = openSync(program, 'r');
  try {
    const header = read(fd, 0, 64);
    // Of other files than 64-bit little-endian ELF (elf(5)) nothing is known: they may try.
    if (header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') return 'dynamic';
    if (sectionNames(fd, header).includes('\0.go.buildinfo\0')) return 'go';
    return segmentTypes(fd, header).includes(PT_INTERP) ? 'dynamic' : 'static';
  } finally {
    closeSync(fd);
  }
}

/** The program header that names the dynamic linker. */
const PT_INTERP = 3;

function segmentTypes(fd: number, header: Buffer): number[] {
  const [size, count] = [header.readUInt16LE(54), header.readUInt16LE(56)];
  const table = read(fd, Number(header.readBigUInt64LE(32)), size * count);
  return Array.from({ length: Math.floor(table.length / size) }, (_, i) => table.readUInt32LE(i * size));
}

/** Between zero bytes; empty where the file has no section table. */
function sectionNames(fd: number, header: Buffer): string {
  const [size, index] = [header.readUInt16LE(58), header.readUInt16LE(62)];
  const section = read(fd, Number(header.readBigUInt64LE(40)) + index * size, size);
  if (index === 0 || section.length < 40) return '';
  const length = Math.min(Number(section.readBigUInt64LE(32)), 1 << 20);
  return read(fd, Number(section.readBigUInt64LE(24)), length).toString('latin1');
}

/** Up to `length` bytes: fewer at the end of the file. */
function read(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, position));
}
