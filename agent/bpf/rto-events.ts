/**
 * Where `stalled` and `resumed` events come from: the kernel, by the best means that it allows here.
 *
 *   sockops      called by the retransmission timer itself; sockets older than us are enrolled, and those
 *                that cannot be (before Linux 6.12) are seen by the tracepoint
 *   tracepoint   the retransmission that follows a timeout
 *   sampling     neither can be loaded: no event comes from here, and the agent must compare readings
 *
 * What our own host refuses to send (no route, a firewall's output rule) never counts as sent: the kernel
 * then probes, which is no timeout. Lost routes come as `local-down`.
 *
 * `resumed` takes a program of its own, without which the rest works.
 *
 * Needs CAP_BPF, CAP_PERFMON (programs read kernel structures) and CAP_NET_ADMIN (programs about
 * sockets); CAP_SYS_ADMIN only where no cgroup v2 mount can be seen.
 */
import { join } from 'node:path';
import type { Millis } from '../model.ts';
import { type Bpf, type BpfObject, explainBpfError } from './addon.ts';
import { attachToCgroupRoot } from './cgroup.ts';
import {
  decodeRto,
  decodeRtoCounters,
  encodeRtoSettings,
  RTO_RECORD_SIZE,
  type RtoEvent,
  type RtoRecord,
  rtoEvent,
} from './rto-record.ts';

export type RtoMode = 'sockops' | 'tracepoint' | 'sampling';

export interface RtoEvents {
  readonly mode: RtoMode;
  /** For `doctor`: what is in use, why nothing better is, and how many events were lost, read too late. */
  readonly reason: string;
  /** Once. `record` is the event in full. */
  watch(onEvent: (event: RtoEvent, record: RtoRecord) => void): void;
  close(): void;
}

export interface RtoOptions {
  /** Tell of all network namespaces, not only of our own (older subflows: of our own all the same). */
  readonly everyNamespace?: boolean;
  /** The means to try, in this order; sampling is always the last. */
  readonly modes?: readonly ('sockops' | 'tracepoint')[];
  /** Shorter silences make no `resumed`. */
  readonly silence?: Millis;
}

/** No middlebox forgets sooner, and applications that talk in turns pause for less. */
const SILENCE: Millis = 5000;

/** Never throws: it falls back. */
export function openRtoEvents(bpf: Bpf | string, options: RtoOptions = {}): RtoEvents {
  const { everyNamespace = false, modes = ['sockops', 'tracepoint'], silence = SILENCE } = options;
  if (typeof bpf === 'string') return source('sampling', [], [bpf]);
  const objects: BpfObject[] = [];
  const facts: string[] = [];
  const load = (programs: readonly string[], sockops: boolean, attach: (object: BpfObject) => string[]) => {
    const netns = everyNamespace ? 0n : bpf.addon.netnsCookie();
    const settings = encodeRtoSettings(netns, bpf.addon.tickMicroseconds(), sockops, silence);
    const object = bpf.addon.load(join(bpf.directory, 'rto.bpf.o'), programs, settings);
    try {
      facts.push(...attach(object));
      objects.push(object);
    } catch (error) {
      object.close();
      throw error;
    }
  };
  const attempt = (name: string, run: () => void): boolean => {
    try {
      run();
      return true;
    } catch (error) {
      facts.push(`${name} failed: ${explainBpfError(error as Error)}`);
      return false;
    }
  };
  const mode =
    modes.find((mode) =>
      attempt(mode, () =>
        mode === 'sockops'
          ? load(['rto_sockops', 'rto_adopt', 'rto_retransmit'], true, (object) => attachSockops(bpf, object))
          : load(['rto_retransmit'], false, attachTracepoint),
      ),
    ) ?? 'sampling';
  // Loaded for itself: a kernel without what this one attaches to has the others all the same.
  attempt('the end of silences', () => load(['rto_resumed'], false, attachResumed));
  return source(mode, objects, facts);
}

function attachResumed(object: BpfObject): string[] {
  object.attach('rto_resumed');
  return [];
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

function source(mode: RtoMode, objects: readonly BpfObject[], facts: readonly string[]): RtoEvents {
  return {
    mode,
    get reason() {
      const lost = objects.reduce((sum, object) => sum + counters(object).dropped, 0);
      return [...facts, ...(lost > 0 ? [`${lost} events lost`] : [])].join('; ');
    },
    watch(onEvent) {
      for (const object of objects)
        object.watch('events', RTO_RECORD_SIZE, (records, count) => {
          for (let i = 0; i < count; i++) {
            const record = decodeRto(records, i);
            onEvent(rtoEvent(record), record);
          }
        });
    },
    close() {
      for (const object of objects) object.close();
    },
  };
}

function counters(object: BpfObject) {
  return decodeRtoCounters(object.lookup('.bss.counters', Buffer.alloc(4))!);
}
