/**
 * The root of the cgroup v2 tree, which programs for cgroups attach to so that they see every socket.
 * Mounted at /sys/fs/cgroup by systemd, at /sys/fs/cgroup/unified where version 1 is in use too, and
 * hidden where /sys was mounted anew (`ip netns exec` does so): then an own mount that nobody else sees.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { cgroupMounts } from '../apps/cgroups.ts';
import type { Bpf, BpfObject } from './addon.ts';

/** The inode number of the hierarchy's true root (kernel/cgroup/cgroup.c); other roots are a container's. */
const ROOT_INODE = 1;

/** Attaches programs; returns what they will not see, or an empty text. Throws what the kernel says. */
export function attachToCgroupRoot(bpf: Bpf, object: BpfObject, programs: readonly string[]): string {
  const fd = openCgroupRoot(bpf);
  try {
    for (const program of programs) object.attach(program, fd);
    return fstatSync(fd).ino === ROOT_INODE ? '' : 'only sockets made inside this container';
  } finally {
    closeSync(fd);
  }
}

function openCgroupRoot(bpf: Bpf): number {
  const { unified } = cgroupMounts(readFileSync('/proc/self/mounts', 'utf8'));
  return unified === undefined ? bpf.addon.mountCgroup2() : openSync(unified, 'r');
}
