/**
 * The least that a program in Node can do for the reaction benchmark: it hears a connection established, writes the
 * token into a message made beforehand, and sends that. No state, no controller, no policy: what smappd takes
 * longer than this is its own; what this takes longer than the kernel is Node's.
 *   node reaction-least.js LOCAL_ADDRESS REMOTE_ADDRESS REMOTE_PORT
 */
import { setPriority } from 'node:os';
import { loadAddon } from '../../agent/netlink/addon.ts';
import { Writer } from '../../agent/netlink/attributes.ts';
import { resolveFamily } from '../../agent/netlink/genl.ts';
import {
  beginMessage,
  endMessage,
  GENL_HEADER_LENGTH,
  HEADER_LENGTH,
  NLM_F_ACK,
  NLM_F_REQUEST,
  putGenlHeader,
} from '../../agent/netlink/message.ts';
import { ATTR, PM_COMMANDS, PM_EVENTS } from '../../agent/netlink/mptcp-pm.ts';
import { Channel, NETLINK_GENERIC } from '../../agent/netlink/socket.ts';

const AF_INET = 2;
/** Of datagrams read at once. */
const SLOTS = 32;
const SLOT = 2048;
/** The token is the first attribute of these events. */
const TOKEN = HEADER_LENGTH + GENL_HEADER_LENGTH + 4;
const A_TOKEN = 0x1a2b3c4d;

const [local, remote, port] = process.argv.slice(2) as [string, string, string];
const addon = loadAddon();
const family = resolveFamily(new Channel(addon, NETLINK_GENERIC), 'mptcp_pm');

const out = new Writer(256);
const start = beginMessage(out, family.id, NLM_F_REQUEST | NLM_F_ACK, 1);
putGenlHeader(out, PM_COMMANDS.subflowCreate, family.version);
ATTR.encode(out, {
  addr: { family: AF_INET, id: 2, addr4: local },
  token: A_TOKEN,
  addrRemote: { family: AF_INET, addr4: remote, port: Number(port) },
});
endMessage(out, start);
const tokenAt = Buffer.from(out.bytes).indexOf(Buffer.from(Uint32Array.of(A_TOKEN).buffer));

const commands = new addon.NetlinkSocket(NETLINK_GENERIC, 1 << 16);
const events = new addon.NetlinkSocket(NETLINK_GENERIC, 1 << 22);
const reply = new Uint8Array(4096);
const buffer = new Uint8Array(SLOTS * SLOT);
const lengths = new Int32Array(SLOTS);
const view = new DataView(buffer.buffer);
setPriority(-20);
events.watch(
  buffer,
  lengths,
  (count) => {
    for (let at = 0; at < count * SLOT; at += SLOT) {
      if (view.getUint8(at + HEADER_LENGTH) !== PM_EVENTS.established) continue;
      out.view.setUint32(tokenAt, view.getUint32(at + TOKEN));
      commands.request(out.bytes, out.at, reply);
    }
  },
  (errno) => process.stderr.write(`reaction-least: errno ${errno}\n`),
);
events.join(family.groups.get('mptcp_pm_events')!);
process.stdout.write('ready\n');
