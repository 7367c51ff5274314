/**
 * Which process made a connection, noted by the kernel at connect() (native/bpf/identity.bpf.c), so that
 * nobody has to search /proc for it.
 *
 * Knows connections that this host made since it was opened, in our network namespace; others, and
 * those that came in, must be found by sock_diag and /proc. Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.
 */
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Token } from '../model.ts';
import { type Bpf, explainBpfError } from './addon.ts';
import { attachToCgroupRoot } from './cgroup.ts';

export interface Identity {
  /** The process that called connect(). It may have ended meanwhile. */
  readonly pid: number;
  readonly uid: number;
  /** Number of its control group: the inode number of its cgroup v2 directory. */
  readonly cgroup: number;
  /** Name of the thread, at most 15 bytes. */
  readonly comm: string;
}

export interface Identities {
  readonly works: boolean;
  /** For `doctor`: how it works, or why it does not. */
  readonly reason: string;
  identityOf(token: Token): Identity | undefined;
  close(): void;
}

/** The kernel counts processes in the first pid namespace (its inode number: linux/proc_ns.h). */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';

/** Never throws: without eBPF nobody is known. */
export function openIdentities(bpf: Bpf | string): Identities {
  if (typeof bpf === 'string') return nobody(bpf);
  if (readlinkSync('/proc/self/ns/pid') !== FIRST_PID_NAMESPACE) {
    return nobody('in a container the kernel and we number processes differently');
  }
  try {
    return open(bpf);
  } catch (error) {
    return nobody(explainBpfError(error as Error));
  }
}

function open(bpf: Bpf): Identities {
  const netns = bpf.addon.netnsCookie();
  const settings = Buffer.alloc(8);
  settings.writeBigUInt64LE(netns);
  const programs = ['identity_connect4', 'identity_connect6'];
  const object = bpf.addon.load(join(bpf.directory, 'identity.bpf.o'), programs, settings);
  const key = Buffer.alloc(16);
  key.writeBigUInt64LE(netns);
  try {
    const caveat = attachToCgroupRoot(bpf, object, programs);
    return {
      works: true,
      reason: ['connect4 and connect6 programs at the cgroup root', ...(caveat ? [caveat] : [])].join('; '),
      identityOf(token) {
        key.writeUInt32LE(token, 8);
        const value = object.lookup('identities', key);
        return value && decode(value);
      },
      close: () => object.close(),
    };
  } catch (error) {
    object.close();
    throw error;
  }
}

function nobody(reason: string): Identities {
  return { works: false, reason, identityOf: () => undefined, close: () => {} };
}

function decode(value: Buffer): Identity {
  const comm = value.subarray(16, 32);
  return {
    cgroup: Number(value.readBigUInt64LE(0)),
    pid: value.readUInt32LE(8),
    uid: value.readUInt32LE(12),
    comm: comm.toString('utf8', 0, comm.indexOf(0)),
  };
}
