/**
 * The nouns of the whole program. Imports nothing.
 *
 * Times are milliseconds, rates bytes a second, ports host order, addresses text as `inet_ntop` writes
 * them (IPv4-mapped IPv6 is written as plain IPv4).
 */

export type Millis = number;

/** The kernel's 32-bit name of an MPTCP connection on this host (RFC 8684, section 3.2), unique in a namespace. */
export type Token = number;

export type Side = 'client' | 'server';

export interface Address {
  readonly ip: string;
  readonly port: number;
}

/** A local address that new subflows may start from. `id` is the MPTCP address id, the same in every connection. */
export interface Local {
  readonly ip: string;
  readonly id: number;
  readonly ifname: string;
  /** The interface that new subflows are bound to; 0 where source routing leads them to their own. */
  readonly ifindex: number;
  readonly role: 'primary' | 'backup';
  readonly metered: boolean;
}

/** An address of the peer: id 0 for the one the connection was made to, others as it announced them. */
export interface Remote extends Address {
  readonly id: number;
}

/** One reading of a subflow's TCP_INFO (linux/tcp.h `struct tcp_info`). */
export interface Stats {
  readonly at: Millis;
  readonly state: TcpState;
  readonly srtt: Millis;
  readonly rttvar: Millis;
  readonly rto: Millis;
  /** How often the RTO has doubled since the last acknowledgement. */
  readonly backoff: number;
  /** Retransmissions of the segment now outstanding, and all ever made. */
  readonly retransmits: number;
  readonly totalRetransmits: number;
  readonly congestionWindow: number;
  readonly mss: number;
  readonly unacked: number;
  readonly pacingRate: number;
  readonly deliveryRate: number;
  readonly bytesSent: number;
  readonly bytesAcked: number;
  readonly bytesReceived: number;
  readonly bytesRetransmitted: number;
  readonly notSent: number;
  readonly lastDataSent: Millis;
  readonly lastAckReceived: Millis;
}

/** Named as `ss` names them; numbered as include/net/tcp_states.h does. */
export type TcpState =
  | 'established'
  | 'syn-sent'
  | 'syn-recv'
  | 'fin-wait-1'
  | 'fin-wait-2'
  | 'time-wait'
  | 'close'
  | 'close-wait'
  | 'last-ack'
  | 'listen'
  | 'closing'
  | 'new-syn-recv';

/** One reading of a connection's mptcp_info (linux/mptcp.h); fields that the kernel at hand lacks are 0. */
export interface ConnectionStats {
  readonly at: Millis;
  readonly subflows: number;
  readonly fallback: boolean;
  readonly writeSeq: number;
  readonly sndUna: number;
  readonly rcvNxt: number;
  readonly bytesSent: number;
  readonly bytesAcked: number;
  readonly bytesReceived: number;
  readonly bytesRetransmitted: number;
}

export interface Subflow {
  /** `LOCAL:PORT-REMOTE:PORT`: what people type and logs show. */
  readonly key: string;
  readonly local: Address;
  readonly remote: Address;
  readonly localId: number;
  readonly remoteId: number;
  /** Empty when the interface is not known (the address has gone). */
  readonly ifname: string;
  readonly backup: boolean;
  readonly since: Millis;
  /** The last reading; absent until the subflow was first sampled. */
  readonly stats: Stats | undefined;
}

export type Command =
  /** Port 0, or none, lets the kernel choose. `ifindex` binds the subflow to an interface (6.13 and later). */
  | {
      readonly kind: 'open';
      readonly local: Local;
      readonly remote: Remote;
      readonly backup: boolean;
      readonly localPort?: number;
    }
  | { readonly kind: 'close'; readonly subflow: Subflow }
  | { readonly kind: 'backup'; readonly subflow: Subflow; readonly on: boolean }
  | { readonly kind: 'announce'; readonly local: Local; readonly port?: number }
  | { readonly kind: 'withdraw'; readonly local: Local }
  /** Asks the peer for an answer that opens nothing, from ports that nobody has: the answers are `pong`. */
  | {
      readonly kind: 'ping';
      readonly local: Local;
      readonly remote: Remote;
      readonly ports: readonly number[];
    };

/** Why a command failed: the kernel's errno and its extended-ack text, or ETIMEDOUT by the agent's own deadline. */
export interface Failure {
  readonly errno: number;
  readonly message: string;
}

/** The ends of a subflow as an event names them. */
export interface SubflowEnds {
  readonly local: Address;
  readonly remote: Address;
  readonly localId: number;
  readonly remoteId: number;
  readonly backup: boolean;
  /** 0 unless the subflow is bound to an interface. */
  readonly ifindex: number;
}

/** Everything that can happen to the agent, whatever noticed it: netlink, eBPF, a sampler, or a recorded file. */
export type Event =
  | ({ readonly kind: 'created' | 'established'; readonly token: Token; readonly side: Side } & SubflowEnds)
  | { readonly kind: 'closed'; readonly token: Token }
  | { readonly kind: 'remote-up'; readonly token: Token; readonly remote: Remote }
  | { readonly kind: 'remote-down'; readonly token: Token; readonly id: number }
  | ({ readonly kind: 'subflow-up'; readonly token: Token } & SubflowEnds)
  | ({
      readonly kind: 'subflow-down';
      readonly token: Token;
      readonly errno: number;
      readonly resetReason: number;
    } & SubflowEnds)
  | ({ readonly kind: 'priority'; readonly token: Token } & SubflowEnds)
  | { readonly kind: 'listener-up' | 'listener-down'; readonly local: Address }
  /** A retransmission timer expired (the papers' `timeout`); `rto` is the value that it backed off to. */
  | {
      readonly kind: 'stalled';
      readonly token: Token;
      readonly local: Address;
      readonly remote: Address;
      readonly rto: Millis;
    }
  /** The first data of a connection that sent none on any subflow for so long. */
  | { readonly kind: 'resumed'; readonly token: Token; readonly silence: Millis }
  /** A ping was answered after so long. */
  | {
      readonly kind: 'pong';
      readonly token: Token;
      readonly local: Address;
      readonly remote: Address;
      readonly took: Millis;
    }
  | { readonly kind: 'local-up' | 'local-down'; readonly local: Local }
  /** Events were lost (ENOBUFS): what is known may be wrong until the next resync. */
  | { readonly kind: 'lost' };
