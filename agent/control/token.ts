/** Tokens as people type them. `ip mptcp monitor` and `ss` write hexadecimal, JSON decimal: both are taken. */
import type { Token } from '../model.ts';
import type { Daemon } from './daemon.ts';
import { CODE, RpcError } from './rpc.ts';

export const hex = (token: Token): string => `0x${token.toString(16).padStart(8, '0')}`;

const MAX_CHOICES = 10;

/**
 * The connection that `wanted` names: a number; decimal or 0x-hexadecimal text; or the beginning of either
 * (hexadecimal with or without 0x), if it fits one connection only. Throws RpcError otherwise.
 */
export function findToken(daemon: Pick<Daemon, 'tokens' | 'has'>, wanted: unknown): Token {
  const exact = typeof wanted === 'string' && wanted.trim() !== '' ? Number(wanted) : wanted;
  if (typeof exact === 'number' && Number.isInteger(exact) && daemon.has(exact)) return exact;

  const start = String(wanted).trim().toLowerCase();
  const fits: Token[] = [];
  if (typeof wanted === 'string' && /^(0x)?[0-9a-f]+$/.test(start)) {
    for (const token of daemon.tokens()) {
      const digits = hex(token);
      const fit =
        digits.startsWith(start) || digits.startsWith(`0x${start}`) || String(token).startsWith(start);
      if (fit && fits.push(token) > MAX_CHOICES) break;
    }
  }
  const [only, another] = fits;
  if (only !== undefined && another === undefined) return only;
  if (only === undefined) {
    throw new RpcError(
      CODE.notFound,
      `no connection "${wanted}"`,
      'smappctl connections lists those that live',
    );
  }
  const choices = fits.slice(0, MAX_CHOICES).map(hex);
  const more = fits.length > MAX_CHOICES ? ', ...' : '';
  const remedy = `type more of it: ${choices.join(', ')}${more}`;
  throw new RpcError(CODE.notFound, `"${wanted}" fits more than one connection`, remedy, { choices });
}
