/** From the policy to the data path's command line (native/converter/options.c). */
import type { Cidr } from '../policy/formats.ts';
import { MARK } from './rules.ts';
import type { ConverterPolicy } from './section.ts';

export interface Paths {
  /** Control socket of the data path. */
  readonly control: string;
  /** 16 secret bytes for cookies; made by us when missing. */
  readonly cookieKey: string;
}

/** `kernel`: the kernel module moves the bytes. */
export function dataPathArguments(
  policy: ConverterPolicy,
  { control, cookieKey }: Paths,
  kernel = false,
): string[] {
  const { transparent, explicit } = policy;
  const given: [option: string, ...values: (string | number)[]][] = [
    ['--listen', ...doors(policy)],
    ['--control', control],
    ['--allow-source', ...policy.sources.map(written)],
    ['--allow', ...policy.allow.map(written)],
    ['--deny', ...policy.deny.map(written)],
    ['--syn-open', policy.synOpen],
    ['--syn-mark', MARK],
    ['--syn-interface', ...transparent.interfaces],
    ['--max-connections', Math.max(1, policy.connections)],
    ['--per-source', policy.perSource],
    ['--batch', Math.max(4096, policy.batch)],
    ['--socket-buffer', ...(policy.socketBuffer > 0 ? [Math.max(4096, policy.socketBuffer)] : [])],
    ['--threads', ...(policy.threads > 0 ? [policy.threads] : [])],
    ['--request-timeout', Math.max(1, policy.requestTimeout)],
    ['--connect-timeout', Math.max(1, policy.connectTimeout)],
    ['--idle-timeout', Math.max(1, policy.idleTimeout)],
    ['--half-close-timeout', Math.max(1, policy.halfCloseTimeout)],
    ['--cookie-key', ...(explicit.cookies ? [cookieKey] : [])],
  ];
  return [
    '--takeover',
    ...(kernel ? ['--kernel'] : []),
    ...(policy.serverMptcp ? ['--server-mptcp'] : []),
    ...(transparent.spoof ? ['--spoof'] : []),
    ...(explicit.dstOpt && explicit.listen.length > 0 ? ['--dst-opt'] : []),
    ...given.flatMap(([option, ...values]) => values.flatMap((value) => [option, String(value)])),
  ];
}

/** Transparent doors in both families; the others as they are written. */
function doors({ transparent, explicit, http }: ConverterPolicy): string[] {
  return [
    ...transparent.ports.flatMap((port) => [`transparent,0.0.0.0:${port}`, `transparent,[::]:${port}`]),
    ...explicit.listen.map((address) => `explicit,${address}`),
    ...(http.listen === undefined ? [] : [`forward,${http.listen},127.0.0.1:${http.port}`]),
  ];
}

function written([address, prefix]: Cidr): string {
  return `${address}/${prefix}`;
}
