/** Which local addresses can reach a peer's address. */
import type { Address, Connection, Local } from './controller.ts';

export function localsFor(connection: Connection, remote: Address | undefined): readonly Local[] {
  return remote ? connection.locals.filter((local) => isIp6(local) === isIp6(remote)) : [];
}

function isIp6({ ip }: { readonly ip: string }): boolean {
  return ip.includes(':');
}
