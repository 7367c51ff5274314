/**
 * Where `stalled` events come from: the kernel, by the best means that it allows here.
 *
 *   sockops      called by the retransmission timer itself; sockets older than us are enrolled, and those
 *                that cannot be (before Linux 6.12) are seen by the tracepoint
 *   tracepoint   the retransmission that follows a timeout
 *   sampling     neither can be loaded: no event comes from here, and the agent must compare readings
 *
 * What our own host refuses to send (no route, a firewall's output rule) never counts as sent: the kernel
 * then probes, which is no timeout. Lost routes come as `local-down`.
 *
 * Needs CAP_BPF, CAP_PERFMON (programs read kernel structures) and CAP_NET_ADMIN (programs about
 * sockets); CAP_SYS_ADMIN only where no cgroup v2 mount can be seen.
 */
import { join } from 'node:path';
import type { Event } from '../model.ts';
import { type Bpf, type BpfObject, explainBpfError } from './addon.ts';
import { attachToCgroupRoot } from './cgroup.ts';
import {
  decodeRto,
  decodeRtoCounters,
  encodeRtoSettings,
  RTO_RECORD_SIZE,
  type RtoRecord,
} from './rto-record.ts';

export type Stalled = Event & { readonly kind: 'stalled' };
export type RtoMode = 'sockops' | 'tracepoint' | 'sampling';

export interface RtoEvents {
  readonly mode: RtoMode;
  /** For `doctor`: what is in use, why nothing better is, and how many events were lost, read too late. */
  readonly reason: string;
  /** Once. `record` is the event in full. */
  watch(onEvent: (event: Stalled, record: RtoRecord) => void): void;
  close(): void;
}

export interface RtoOptions {
  /** Tell of all network namespaces, not only of our own (older subflows: of our own all the same). */
  readonly everyNamespace?: boolean;
  /** The means to try, in this order; sampling is always the last. */
  readonly modes?: readonly ('sockops' | 'tracepoint')[];
}

/** Never throws: it falls back. */
export function openRtoEvents(bpf: Bpf | string, options: RtoOptions = {}): RtoEvents {
  const { everyNamespace = false, modes = ['sockops', 'tracepoint'] } = options;
  if (typeof bpf === 'string') return sampling(bpf);
  const failures: string[] = [];
  for (const mode of modes) {
    try {
      return open(bpf, mode, everyNamespace, failures);
    } catch (error) {
      failures.push(`${mode} failed: ${explainBpfError(error as Error)}`);
    }
  }
  return sampling(failures.join('; '));
}

function open(
  bpf: Bpf,
  mode: 'sockops' | 'tracepoint',
  everyNamespace: boolean,
  failures: string[],
): RtoEvents {
  const sockops = mode === 'sockops';
  const settings = encodeRtoSettings(
    everyNamespace ? 0n : bpf.addon.netnsCookie(),
    bpf.addon.tickMicroseconds(),
    sockops,
  );
  const programs = [...(sockops ? ['rto_sockops', 'rto_adopt'] : []), 'rto_retransmit'];
  const object = bpf.addon.load(join(bpf.directory, 'rto.bpf.o'), programs, settings);
  try {
    const facts = sockops ? attachSockops(bpf, object) : attachTracepoint(object);
    return source(object, mode, [...facts, ...failures].join('; '));
  } catch (error) {
    object.close();
    throw error;
  }
}

function attachTracepoint(object: BpfObject): string[] {
  object.attach('rto_retransmit');
  return ['tracepoint tcp_retransmit_skb'];
}

function attachSockops(bpf: Bpf, object: BpfObject): string[] {
  const caveat = attachToCgroupRoot(bpf, object, ['rto_sockops']);
  // Only now: a subflow that is established meanwhile is then found by one of the two.
  object.iterate('rto_adopt');
  const { adopted, refused } = counters(object);
  if (refused > 0) object.attach('rto_retransmit');
  return [
    'sockops program at the cgroup root',
    ...(caveat ? [caveat] : []),
    ...(adopted > 0 ? [`${adopted} older subflows enrolled`] : []),
    ...(refused > 0
      ? [`${refused} older subflows watched by tracepoint (this kernel cannot enrol them)`]
      : []),
  ];
}

function sampling(reason: string): RtoEvents {
  return { mode: 'sampling', reason, watch: () => {}, close: () => {} };
}

function source(object: BpfObject, mode: RtoMode, reason: string): RtoEvents {
  return {
    mode,
    get reason() {
      const lost = counters(object).dropped;
      return lost > 0 ? `${reason}; ${lost} events lost` : reason;
    },
    watch(onEvent) {
      object.watch('events', RTO_RECORD_SIZE, (records, count) => {
        for (let i = 0; i < count; i++) {
          const record = decodeRto(records, i);
          const { token, local, remote } = record;
          onEvent({ kind: 'stalled', token, local, remote, rto: record.rto / 1000 }, record);
        }
      });
    },
    close: () => object.close(),
  };
}

function counters(object: BpfObject) {
  return decodeRtoCounters(object.lookup('.bss.counters', Buffer.alloc(4))!);
}
