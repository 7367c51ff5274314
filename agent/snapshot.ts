/** Gathers what dumps tell of all connections: the base of a resync. */
import type { Snapshot } from './kernel.ts';
import type { Millis, Side, SubflowEnds, Token } from './model.ts';
import { ALIVE, type SocketDiag, type SubflowSocket } from './netlink/sock-diag.ts';
import { NetlinkError } from './netlink/socket.ts';

const EINTR = 4;
const ATTEMPTS = 5;

/** Takes as long as the dumps take (some 2 µs a subflow), in pieces between which the event loop runs. */
export async function gatherSnapshot(sockets: SocketDiag, now: () => Millis): Promise<Snapshot> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await gather(sockets, now);
    } catch (error) {
      // The tables changed under the dump, which may have missed some: once more.
      if (!(error instanceof NetlinkError) || error.errno !== EINTR || attempt === ATTEMPTS) throw error;
    }
  }
}

async function gather(sockets: SocketDiag, now: () => Millis): Promise<Snapshot> {
  const listening = new Set([...sockets.listeners()].map(({ local }) => local.port));
  const connections = new Map<Token, { token: Token; side: Side; subflows: SubflowEnds[] }>();
  for await (const chunk of sockets.connectionChunks(now)) {
    for (const { token, local, stats } of chunk) {
      // Where the initial subflow is gone, only a listener on our port tells a server.
      const side = listening.has(local.port) ? 'server' : 'client';
      if (!stats.fallback) connections.set(token, { token, side, subflows: [] });
    }
  }
  for await (const chunk of sockets.subflowChunks(ALIVE)) {
    for (const subflow of chunk) {
      const connection = connections.get(subflow.token);
      if (!connection || subflow.state === 'syn-sent' || subflow.state === 'syn-recv') continue;
      const ends = endsOf(subflow);
      if (subflow.initial) {
        connection.side = subflow.connected ? 'client' : 'server';
        connection.subflows = [ends, ...connection.subflows]; // the policy goes by the ends of the first one
      } else connection.subflows = [...connection.subflows, ends];
    }
  }
  return { connections: [...connections.values()] };
}

function endsOf({ local, remote, localId, remoteId, backup, ifindex }: SubflowSocket): SubflowEnds {
  return { local, remote, localId, remoteId, backup, ifindex };
}
