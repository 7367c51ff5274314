/** Generic netlink: a family and its multicast groups by name (linux/genetlink.h, `nlctrl`). */
import { Attributes, list, nested, text, u16, u32 } from './attributes.ts';
import { GENL_HEADER_LENGTH, putGenlHeader } from './message.ts';
import type { Channel } from './socket.ts';

const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;

const GROUP = new Attributes({ name: [1, text], id: [2, u32] });
const CONTROL = new Attributes({
  familyId: [1, u16],
  familyName: [2, text],
  version: [3, u32],
  groups: [7, list(nested(GROUP))],
});

export interface Family {
  /** The type of its messages. */
  readonly id: number;
  readonly version: number;
  readonly groups: ReadonlyMap<string, number>;
}

/** Fails with ENOENT when the kernel has no such family. */
export function resolveFamily(channel: Channel, name: string): Family {
  const reply = channel.request(`find generic netlink family "${name}"`, GENL_ID_CTRL, 0, (out) => {
    putGenlHeader(out, CTRL_CMD_GETFAMILY, 1);
    CONTROL.encode(out, { familyName: name });
  })!;
  const { familyId, version, groups } = CONTROL.decode(reply.view, reply.from + GENL_HEADER_LENGTH, reply.to);
  return {
    id: familyId ?? 0,
    version: version ?? 1,
    groups: new Map(groups?.map((group) => [group.name ?? '', group.id ?? 0])),
  };
}
