/** Lives of connections as the kernel tells of them: encoded events, for benchmarks of the chain behind the socket. */
import { Writer } from '../../agent/netlink/attributes.ts';
import { putGenlHeader } from '../../agent/netlink/message.ts';
import { EVENT_ATTR, PM_EVENTS } from '../../agent/netlink/mptcp-pm.ts';

export interface Encoded {
  readonly view: DataView;
  /** Where each event begins in the view; one more than there are events. */
  readonly bounds: readonly number[];
}

type Kind = keyof typeof PM_EVENTS;

/** `steps` of connections `first` to `last`, connection by connection; each has two subflows. */
export function encodeLives(first: number, last: number, steps: readonly Kind[]): Encoded {
  const out = new Writer((last - first + 1) * steps.length * 128);
  const bounds = [0];
  for (let n = first; n <= last; n++) {
    for (const kind of steps) {
      putGenlHeader(out, PM_EVENTS[kind], 1);
      EVENT_ATTR.encode(out, kind === 'closed' ? { token: n } : ends(n, kind.startsWith('sub') ? 1 : 0));
      bounds.push(out.at);
    }
  }
  return { view: new DataView(out.bytes.buffer), bounds };
}

function ends(n: number, subflow: 0 | 1) {
  const client = `10.${subflow}.${(n >> 8) & 255}.${n & 255}`;
  return {
    token: n,
    family: 2,
    locId: subflow,
    remId: 0,
    saddr4: client,
    daddr4: '10.9.0.1',
    sport: 1024 + (n % 60_000),
    dport: 443,
    backup: 0,
    serverSide: 1,
  };
}
