/** The policy's `converter`: MPTCP clients on one side, TCP servers on the other (MiMBox, HotMiddlebox'13). */
import { bytes, choice, count, duration, flag, type ParamsOf } from '../../controllers/params.ts';
import { cidr } from '../policy/formats.ts';
import { group, list, text } from '../policy/kinds.ts';

const LISTEN = '^(\\[[0-9a-fA-F:.]*\\]|\\d+\\.\\d+\\.\\d+\\.\\d+):\\d{1,5}$';
const listen = (doc: string, example: string) => text(doc, { pattern: LISTEN, examples: [example] });
const port = { schema: { type: 'integer', minimum: 1, maximum: 65535, examples: [443] }, parse: Number };
const ifname = { schema: { type: 'string', pattern: '^[^\\s/"]{1,15}$', examples: ['lan0'] }, parse: String };

const transparent = {
  interfaces: list(ifname, 'interfaces that clients are behind; their packets pass through this host'),
  ports: list(port, "servers' ports to convert; a listener each, since joins must find the port unchanged"),
  spoof: flag(false, "servers see the client's own address; their answers must be routed through this host"),
};

const explicit = {
  listen: list(
    { schema: { type: 'string', pattern: LISTEN, examples: ['0.0.0.0:5124'] }, parse: String },
    'addresses and ports where clients ask for a server: RFC 8803, or DST_OPT',
  ),
  dstOpt: flag(true, "take the server's address from DST_OPT in the SYN"),
  networks: list(
    cidr,
    'IPv6 networks routed to this host, of which it takes all addresses: a /64 lets DST_OPT lead to IPv6 servers',
  ),
  cookies: flag(false, 'RFC 8803 clients must show a cookie, which proves that they hold their address'),
};

const http = {
  listen: listen('where clients that only know a proxy setting connect to', '0.0.0.0:3128'),
  port: count(3129, 'port of the HTTP proxy itself, on the loopback address'),
  connectPorts: list(port, 'ports that CONNECT may reach; 443 when none is given'),
};

const members = {
  transparent: group(transparent, 'Clients whose packets pass through this host and know nothing of it'),
  explicit: group(explicit, 'Clients that say where they want to'),
  http: group(http, 'HTTP proxy (Squid), reached by MPTCP'),
  sources: list(cidr, 'who may use it: networks and addresses; everybody when none is given'),
  allow: list(cidr, 'destinations allowed in any case, such as private ones'),
  deny: list(
    cidr,
    'destinations refused; private, link-local and loopback ones that clients name always are',
  ),
  synOpen: choice(
    ['off', 'parallel', 'hold'],
    'parallel',
    "open the server's side when the client's SYN comes: `parallel` with the client's handshake, `hold` before it, " +
      'so that a refusal reaches the client as one',
  ),
  datapath: choice(
    ['auto', 'kernel', 'user'],
    'auto',
    'who moves the bytes: the kernel module, our program, or the module where it is loaded',
  ),
  serverMptcp: flag(false, 'offer MPTCP to servers too'),
  threads: count(0, 'threads of the data path; 0 is one a core'),
  connections: count(200_000, 'connections at a time'),
  perSource: count(0, 'connections at a time from one address; 0 is no limit'),
  batch: bytes('16KiB', 'bytes moved at a time, and held back at most in each direction of a connection'),
  socketBuffer: bytes('0B', "send and receive buffer of each socket; 0 leaves them to the kernel's tuning"),
  requestTimeout: duration('10s', 'for a client to name its server'),
  connectTimeout: duration('30s', 'for a server to answer'),
  idleTimeout: duration('124m', 'of a connection on which nothing moves (RFC 5382, REQ-5)'),
  halfCloseTimeout: duration('5m', 'of one on which nothing moves and one side has ended'),
};

export const converterSection = group(
  members,
  'Converts MPTCP to TCP for clients whose servers do not speak MPTCP. Off unless it has a port or an address to listen on.',
);

export type ConverterPolicy = ParamsOf<typeof members>;

/** Whether the policy asks for a converter at all. */
export function converterWanted({ transparent, explicit, http }: ConverterPolicy): boolean {
  return transparent.ports.length > 0 || explicit.listen.length > 0 || http.listen !== undefined;
}
