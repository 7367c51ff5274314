/** Finds and loads the eBPF addon, for composition roots and tests; the rest gets it as an argument. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as Addon from '../../native/bpf/bpf.d.ts';
import type { BpfObject } from '../../native/bpf/bpf.d.ts';

export type { BpfObject };

export interface Bpf {
  readonly addon: typeof Addon;
  /** Where the object files lie. */
  readonly directory: string;
}

/** Works from the sources as from dist/, which lies one level deeper. A text says why there is no addon. */
export function loadBpf(): Bpf | string {
  const places = ['../../native/build', '../../../native/build'];
  const directory = places
    .map((place) => fileURLToPath(new URL(place, import.meta.url)))
    .find((place) => existsSync(join(place, 'bpf.node')));
  if (directory === undefined) {
    return 'native/build/bpf.node is missing: apt-get install clang libbpf-dev, then make --directory=native';
  }
  try {
    return { addon: createRequire(import.meta.url)(join(directory, 'bpf.node')), directory };
  } catch (error) {
    return `native/build/bpf.node cannot be loaded: ${(error as Error).message}`;
  }
}

const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_PERFMON: 38, CAP_BPF: 39 } as const;

/** The error's own words, and the capabilities that we lack when that may be the cause. */
export function explainBpfError(error: Error & { code?: string }): string {
  if (error.code === 'ESRCH') return `${error.message} (this kernel lacks what the program attaches to)`;
  if (error.code !== 'EPERM' && error.code !== 'EACCES') return error.message;
  const held = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`);
  const missing = Object.entries(CAPABILITIES).filter(([, bit]) => !((held >> BigInt(bit)) & 1n));
  if (missing.length === 0) return error.message;
  return `${error.message} (we lack ${missing.map(([name]) => name).join(', ')})`;
}
