/** What `Apps` asks of sock_diag. */
import type { AppPorts, SocketOwner } from '../apps.ts';
import type { Address, Token } from '../model.ts';
import type { SocketDiag } from '../netlink/sock-diag.ts';

export function socketsOf(diag: SocketDiag): Pick<AppPorts, 'socket' | 'listener'> {
  return {
    // Statistics come with the answer, and with them a time that nobody looks at.
    socket: (token: Token): SocketOwner | undefined => diag.connection(token, 0),
    listener({ ip, port }: Address): SocketOwner | undefined {
      const candidates = [...diag.listeners()].filter(({ local }) => local.port === port);
      return (
        candidates.find(({ local }) => local.ip === ip) ??
        candidates.find(({ local }) => local.ip === '::' || local.ip === '0.0.0.0')
      );
    },
  };
}
