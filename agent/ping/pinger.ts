/**
 * Asks a peer for a sign of life from ports of ours that no connection has, which opens nothing: how long the answer
 * takes tells of the path that routers choose for such ports. Needs CAP_NET_RAW. Sockets are there while answers may come.
 */
import type { Clock } from '../clock.ts';
import type { Command, Event, Failure, Millis, Token } from '../model.ts';
import type { Addon } from '../netlink/addon.ts';
import { isIp4 } from '../netlink/ip.ts';
import { decodePong, encodePing, PING_LENGTH } from './segment.ts';

/** What comes later tells nothing of a path that one would want. */
const PATIENCE: Millis = 3000;
const SLOTS = 64;
/** An IP and a TCP header with all their options. */
const SLOT = 128;

type Ping = Command & { kind: 'ping' };

interface Asked {
  readonly token: Token;
  readonly port: number;
  readonly at: Millis;
}

interface Place {
  readonly socket: InstanceType<typeof Addon.RawTcpSocket>;
  /** By our port. */
  readonly asked: Map<number, Asked>;
  cancelEnd: () => void;
}

export class Pinger {
  readonly #addon: typeof Addon;
  readonly #clock: Clock;
  readonly #tell: (event: Event) => void;
  /** By addresses and interface. */
  readonly #places = new Map<string, Place>();
  readonly #segment = new Uint8Array(PING_LENGTH);
  #token = 1;

  constructor(addon: typeof Addon, clock: Clock, tell: (event: Event) => void) {
    this.#addon = addon;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Each answer becomes an event `pong`; what has none within three seconds is forgotten. */
  send(token: Token, ping: Ping): Failure | undefined {
    const { local, remote, ports } = ping;
    try {
      const place = this.#place(ping);
      for (const port of ports) {
        this.#token = (this.#token * 48271) % 0x7fffffff;
        encodePing(this.#segment, { ip: local.ip, port }, remote, this.#token);
        place.asked.set(port, { token, port: remote.port, at: this.#clock.now() });
        place.socket.send(this.#segment, PING_LENGTH);
      }
      return undefined;
    } catch (error) {
      const { errno, message } = error as NodeJS.ErrnoException;
      if (errno === undefined) throw error;
      return { errno, message };
    }
  }

  close(): void {
    for (const key of this.#places.keys()) this.#end(key);
  }

  #place({ local, remote }: Ping): Place {
    const ifname = local.ifindex ? local.ifname : undefined;
    const key = `${local.ip} ${remote.ip} ${ifname}`;
    let place = this.#places.get(key);
    if (!place) {
      const socket = new this.#addon.RawTcpSocket(local.ip, remote.ip, ifname);
      place = { socket, asked: new Map(), cancelEnd: () => {} };
      this.#places.set(key, place);
      this.#watch(key, place, local.ip, remote.ip);
    }
    place.cancelEnd();
    place.cancelEnd = this.#clock.after(PATIENCE, () => this.#end(key));
    return place;
  }

  #watch(key: string, { socket, asked }: Place, ip: string, peer: string): void {
    const buffer = new Uint8Array(SLOTS * SLOT);
    const view = new DataView(buffer.buffer);
    const lengths = new Int32Array(SLOTS);
    const hear = (count: number): void => {
      const now = this.#clock.now();
      for (let i = 0; i < count; i++) {
        const ports = decodePong(view, i * SLOT, i * SLOT + Math.max(0, lengths[i]!), isIp4(ip));
        const ours = ports && asked.get(ports[0]);
        if (!ours || ours.port !== ports[1]) continue;
        asked.delete(ports[0]);
        const { token, port, at } = ours;
        const ends = { local: { ip, port: ports[0] }, remote: { ip: peer, port } };
        this.#tell({ kind: 'pong', token, ...ends, took: now - at });
      }
    };
    socket.watch(buffer, lengths, hear, () => this.#end(key));
  }

  #end(key: string): void {
    const place = this.#places.get(key);
    this.#places.delete(key);
    place?.cancelEnd();
    place?.socket.close();
  }
}
