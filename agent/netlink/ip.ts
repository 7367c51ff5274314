/**
 * IP addresses as text, as `inet_ntop` writes them, and back. IPv4-mapped IPv6 (RFC 4291, section 2.5.5.2)
 * is written as plain IPv4, because the kernel names the same subflow now the one way, now the other.
 *
 * The same few addresses come again and again, so formatted ones are kept, by a hash of the address, each
 * in the one place where it may lie: bounded memory, one string for all connections, nothing to evict.
 */
import ipaddr from 'ipaddr.js';

const PLACES = 4096;
const SHIFT = 20;
const GOLDEN = 0x9e3779b1;

const kept4 = { key: new Int32Array(PLACES), text: new Array<string>(PLACES).fill('0.0.0.0') };
const kept6 = { key: new Int32Array(4 * PLACES), text: new Array<string>(PLACES).fill('::') };
/** Parsing is slower still. */
const parsed6 = new Map<string, readonly number[]>();

export function ip4Text(view: DataView, at: number): string {
  const key = view.getInt32(at);
  const place = Math.imul(key, GOLDEN) >>> SHIFT;
  if (kept4.key[place] !== key) {
    kept4.key[place] = key;
    kept4.text[place] = `${key >>> 24}.${(key >>> 16) & 255}.${(key >>> 8) & 255}.${key & 255}`;
  }
  return kept4.text[place]!;
}

export function ip6Text(view: DataView, at: number): string {
  const a = view.getInt32(at);
  const b = view.getInt32(at + 4);
  const c = view.getInt32(at + 8);
  const d = view.getInt32(at + 12);
  if (a === 0 && b === 0 && c === 0xffff) return ip4Text(view, at + 12);
  const place =
    Math.imul(Math.imul(Math.imul(Math.imul(a, GOLDEN) ^ b, GOLDEN) ^ c, GOLDEN) ^ d, GOLDEN) >>> SHIFT;
  const { key, text } = kept6;
  const first = 4 * place;
  if (key[first] !== a || key[first + 1] !== b || key[first + 2] !== c || key[first + 3] !== d) {
    key[first] = a;
    key[first + 1] = b;
    key[first + 2] = c;
    key[first + 3] = d;
    const bytes = Array.from({ length: 16 }, (_, i) => view.getUint8(at + i));
    text[place] = new ipaddr.IPv6(bytes).toRFC5952String();
  }
  return text[place]!;
}

/** Writes dotted IPv4; false when `ip` is none. */
export function putIp4(view: DataView, at: number, ip: string): boolean {
  let value = 0;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i <= ip.length; i++) {
    const code = i < ip.length ? ip.charCodeAt(i) : 0x2e;
    if (code === 0x2e) {
      if (digits === 0 || dots > 3) return false;
      view.setUint8(at + dots++, value);
      value = 0;
      digits = 0;
    } else {
      if (code < 0x30 || code > 0x39 || digits === 3) return false;
      value = value * 10 + code - 0x30;
      if (value > 255) return false;
      digits++;
    }
  }
  return dots === 4;
}

/** Writes IPv6, IPv4 as IPv4-mapped; false when `ip` is neither. Zones ("%eth0") are refused. */
export function putIp6(view: DataView, at: number, ip: string): boolean {
  if (isIp4(ip)) {
    for (let i = 0; i < 12; i++) view.setUint8(at + i, i < 10 ? 0 : 0xff);
    return putIp4(view, at + 12, ip);
  }
  let bytes = parsed6.get(ip);
  if (bytes === undefined) {
    if (ip.includes('%') || !ipaddr.IPv6.isValid(ip)) return false;
    if (parsed6.size === PLACES) parsed6.clear();
    bytes = ipaddr.IPv6.parse(ip).toByteArray();
    parsed6.set(ip, bytes);
  }
  for (let i = 0; i < 16; i++) view.setUint8(at + i, bytes[i]!);
  return true;
}

export function isIp4(ip: string): boolean {
  return !ip.includes(':');
}
