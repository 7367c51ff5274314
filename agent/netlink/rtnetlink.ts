/**
 * Links, addresses, routes and rules as rtnetlink messages (linux/rtnetlink.h, linux/fib_rules.h).
 *
 * The `netlink` package's codecs do the work, but for the attributes of routes and links: there they refuse
 * legal messages (a next hop of the other family, RFC 5549; longer statistics of newer kernels).
 */
import rt from 'netlink/dist/rt/structs.js';
import wire from 'netlink/dist/structs.js';
import {
  Attributes,
  align,
  CodecError,
  LITTLE_ENDIAN,
  nested,
  text,
  u32,
  type Wire,
  type Writer,
} from './attributes.ts';
import { ip4Text, ip6Text, isIp4, putIp4, putIp6 } from './ip.ts';
import type { Message } from './message.ts';

export const RTM = {
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
  newRule: 32,
  delRule: 33,
  getRule: 34,
  getLink: 18,
  getAddress: 22,
} as const;

/** Multicast groups of links, addresses, routes and rules, IPv4 and IPv6 (enum rtnetlink_groups). */
export const HOST_GROUPS = [1, 5, 7, 8, 9, 11, 19] as const;

export type Family = 4 | 6;

export interface Link {
  readonly ifindex: number;
  readonly ifname: string;
  /** Administratively up. */
  readonly up: boolean;
  /** Traffic can pass: carrier, and nothing like an unfinished authentication in the way (RFC 2863 `up`). */
  readonly carrier: boolean;
  readonly loopback: boolean;
}

export interface InterfaceAddress {
  readonly family: Family;
  readonly ip: string;
  readonly ifindex: number;
  /** Duplicate address detection goes on, or has failed. */
  readonly tentative: boolean;
  /** Its preferred lifetime is over (RFC 4862): good for what is there, not for new connections. */
  readonly deprecated: boolean;
  /** A privacy address (RFC 8981), replaced about daily. */
  readonly temporary: boolean;
}

/** A unicast route of one next hop. A multipath route comes as several. */
export interface Route {
  readonly family: Family;
  readonly table: number;
  /** `ADDRESS/LENGTH`; a default route is 0.0.0.0/0 or ::/0. */
  readonly destination: string;
  readonly ifindex: number;
  /** Absent when the destination is on the link, or the link is point-to-point. Of either family (RFC 5549). */
  readonly gateway: string | undefined;
  readonly metric: number;
  /** The gateway is on the link although no prefix says so. */
  readonly onlink: boolean;
  readonly mtu: number | undefined;
  /** Who made it (RTPROT_*). */
  readonly protocol: number;
}

/** `from SOURCE lookup TABLE`, without any other condition. */
export interface Rule {
  readonly family: Family;
  readonly priority: number;
  readonly source: string;
  readonly table: number;
  readonly protocol: number;
}

const AF = { 4: 2, 6: 10 } as const;
const BITS = { 4: 32, 6: 128 } as const;
const RTN_UNICAST = 1;
const RT_SCOPE_LINK = 253;
const RTNH_F_ONLINK = 4;
const FR_ACT_TO_TBL = 1;
/** Length of struct ifinfomsg, rtmsg and rtnexthop. */
const LINK_LENGTH = 16;
const ROUTE_LENGTH = 12;
const NEXT_HOP_LENGTH = 8;

/** An address whose family its length tells. */
const address: Wire<string> = {
  min: 4,
  get: (view, from, to) => (to - from < 16 ? ip4Text(view, from) : ip6Text(view, from)),
  put(out, ip) {
    const length = isIp4(ip) ? 4 : 16;
    const put = isIp4(ip) ? putIp4 : putIp6;
    if (!put(out.view, out.reserve(length), ip)) throw new CodecError(`"${ip}" is no IP address`);
    return length;
  },
};

/** struct rtvia: a gateway of the other family. */
const via: Wire<string> = {
  min: 6,
  get: (view, from, to) => address.get(view, from + 2, to),
  put(out, ip) {
    const bytes = new Uint8Array(isIp4(ip) ? 6 : 18);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, isIp4(ip) ? AF[4] : AF[6], LITTLE_ENDIAN);
    if (!(isIp4(ip) ? putIp4 : putIp6)(view, 2, ip)) throw new CodecError(`"${ip}" is no IP address`);
    out.bytes.set(bytes, out.reserve(bytes.length));
    return bytes.length;
  },
};

const NEXT_HOP = new Attributes({ gateway: [5, address], via: [18, via] });

interface NextHop {
  readonly ifindex: number;
  readonly onlink: boolean;
  readonly gateway: string | undefined;
}

/** A row of struct rtnexthop, each with attributes of its own. */
const nextHops: Wire<readonly NextHop[]> = {
  min: 0,
  get(view, from, to) {
    const found: NextHop[] = [];
    for (let at = from; at < to; ) {
      const end = at + NEXT_HOP_LENGTH <= to ? at + view.getUint16(at, LITTLE_ENDIAN) : 0;
      if (end < at + NEXT_HOP_LENGTH || end > to) throw new CodecError(`truncated next hop at byte ${at}`);
      const { gateway, via } = NEXT_HOP.decode(view, at + NEXT_HOP_LENGTH, end);
      const onlink = (view.getUint8(at + 2) & RTNH_F_ONLINK) !== 0;
      found.push({ ifindex: view.getInt32(at + 4, LITTLE_ENDIAN), onlink, gateway: gateway ?? via });
      at += align(end - at);
    }
    return found;
  },
  put(): never {
    throw new CodecError('multipath routes are only read');
  },
};

const LINK = new Attributes({ ifname: [3, text] });
const METRICS = new Attributes({ mtu: [2, u32] });
const ROUTE = new Attributes({
  destination: [1, address],
  source: [2, address],
  oif: [4, u32],
  gateway: [5, address],
  priority: [6, u32],
  metrics: [8, nested(METRICS)],
  multipath: [9, nextHops],
  table: [15, u32],
  via: [18, via],
});

export function readLink(message: Message): Link {
  const { index, flags = {} } = whole(message, LINK_LENGTH, (bytes) =>
    rt.parseLink(bytes.subarray(0, LINK_LENGTH)),
  );
  const { ifname } = LINK.decode(message.view, message.from + LINK_LENGTH, message.to);
  return {
    ifindex: index ?? 0,
    ifname: ifname ?? '',
    up: flags.up === true,
    carrier: flags.running === true && flags.lowerUp === true,
    loopback: flags.loopback === true,
  };
}

export function readAddress(message: Message): InterfaceAddress | undefined {
  const { data, attrs } = whole(message, rt.__LENGTH_Address, rt.parseAddressMessage);
  // On a point-to-point link `address` is the peer's.
  const bytes = attrs.local ?? attrs.address;
  const family = familyOf(data.family);
  if (!bytes || !family || bytes.length * 8 !== BITS[family]) return undefined;
  const flags = attrs.flags ?? data.flags ?? {};
  return {
    family,
    ip: addressText(bytes),
    ifindex: data.index ?? 0,
    tentative: (flags.tentative === true && flags.optimistic !== true) || flags.dadfailed === true,
    deprecated: flags.deprecated === true,
    temporary: family === 6 && flags.secondary === true,
  };
}

/** None when it is no unicast route. */
export function readRoutes(message: Message): Route[] {
  const header = whole(message, ROUTE_LENGTH, (bytes) => rt.parseRoute(bytes.subarray(0, ROUTE_LENGTH)));
  const family = familyOf(header.family);
  if (!family || number(rt.RouteType, header.type) !== RTN_UNICAST) return [];
  const attrs = ROUTE.decode(message.view, message.from + ROUTE_LENGTH, message.to);
  const onlink = ((header.flags?.__unknown ?? 0) & RTNH_F_ONLINK) !== 0;
  const single =
    attrs.oif === undefined ? [] : [{ ifindex: attrs.oif, gateway: attrs.gateway ?? attrs.via, onlink }];
  return (attrs.multipath ?? single).map((hop) => ({
    ...hop,
    family,
    table: attrs.table ?? header.table ?? 0,
    destination: `${attrs.destination ?? (family === 4 ? '0.0.0.0' : '::')}/${header.dstLen ?? 0}`,
    metric: attrs.priority ?? 0,
    mtu: attrs.metrics?.mtu,
    protocol: number(rt.RouteProtocol, header.protocol),
  }));
}

/** Undefined when it does not look up a table for one source address. */
export function readRule(message: Message): Rule | undefined {
  const { data, attrs } = whole(message, rt.__LENGTH_Rule, rt.parseRuleMessage);
  const family = familyOf(data.family);
  if (!family || !attrs.src || data.srcLen !== BITS[family]) return undefined;
  if (attrs.src.length * 8 !== BITS[family]) throw new CodecError('source address of the wrong length');
  return {
    family,
    priority: attrs.priority ?? 0,
    source: addressText(attrs.src),
    table: attrs.table ?? data.table ?? 0,
    protocol: attrs.protocol ?? 0,
  };
}

export function putRoute(out: Writer, route: Route): void {
  const { family, destination, ifindex, gateway, table, metric, mtu, onlink, protocol } = route;
  const [ip, length] = destination.split('/');
  const dstLen = Number(length);
  const scope = family === 4 && gateway === undefined ? RT_SCOPE_LINK : 0;
  const flags = onlink ? { __unknown: RTNH_F_ONLINK } : {};
  putBytes(out, rt.formatRoute({ family: AF[family], dstLen, protocol, scope, type: RTN_UNICAST, flags }));
  ROUTE.encode(out, {
    destination: dstLen > 0 ? ip : undefined,
    oif: ifindex,
    priority: metric,
    metrics: mtu === undefined ? undefined : { mtu },
    table,
    ...(gateway !== undefined && isIp4(gateway) === (family === 4) ? { gateway } : { via: gateway }),
  });
}

/** Asks how a packet would be routed (RTM_GETROUTE). */
export function putLookup(out: Writer, source: string, destination: string): void {
  const family = isIp4(source) ? 4 : 6;
  putBytes(out, rt.formatRoute({ family: AF[family], dstLen: BITS[family], srcLen: BITS[family] }));
  ROUTE.encode(out, { destination, source });
}

export function putRule(out: Writer, { family, priority, source, table, protocol }: Rule): void {
  const stream = new wire.AttrStream();
  const src = Buffer.alloc(BITS[family] / 8);
  const view = new DataView(src.buffer, src.byteOffset, src.length);
  if (!(family === 4 ? putIp4 : putIp6)(view, 0, source))
    throw new CodecError(`"${source}" is no IP address`);
  const data = { family: AF[family], srcLen: BITS[family], action: FR_ACT_TO_TBL };
  rt.formatRuleMessage({ kind: 'rule', data, attrs: { src, priority, table, protocol } }, stream);
  putBytes(out, Buffer.concat(stream.bufs));
}

/** The header of a dump request: everything of a family. */
export function putDump(out: Writer, type: number, family: Family | 0 = 0): void {
  const af = family === 0 ? 0 : AF[family];
  switch (type) {
    case RTM.getLink:
      return putBytes(out, rt.formatLink({}));
    case RTM.getAddress:
      return putBytes(out, rt.formatAddress({ family: af }));
    case RTM.getRoute:
      return putBytes(out, rt.formatRoute({ family: af }));
    case RTM.getRule:
      return putBytes(out, rt.formatRule({ family: af }));
    default:
      throw new CodecError(`no dump of type ${type}`);
  }
}

/** Gives the message's bytes to the package; what that refuses is a CodecError. */
function whole<T>({ view, from, to }: Message, least: number, parse: (bytes: Buffer) => T): T {
  if (to - from < least) throw new CodecError(`truncated message: ${to - from} bytes`);
  try {
    return parse(Buffer.from(view.buffer, view.byteOffset + from, to - from));
  } catch (error) {
    throw new CodecError((error as Error).message);
  }
}

/** The package gives names for the values of an enumeration that it knows, and numbers for the rest. */
function number(names: object, value: string | number | undefined): number {
  return typeof value === 'string' ? Number((names as Record<string, unknown>)[value]) : (value ?? 0);
}

function familyOf(af: number | undefined): Family | undefined {
  return af === AF[4] ? 4 : af === AF[6] ? 6 : undefined;
}

function addressText(bytes: Buffer): string {
  return address.get(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
}

function putBytes(out: Writer, bytes: Uint8Array): void {
  out.bytes.set(bytes, out.reserve(bytes.length));
}
