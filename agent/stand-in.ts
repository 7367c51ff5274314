/**
 * What the rehearsal has in place of the kernel: the native addon, whose netlink sockets hear only what they are
 * shown, and whose commands are answered unheard, now and then with a refusal.
 */
import type { Addon } from './netlink/addon.ts';
import { LITTLE_ENDIAN, Writer } from './netlink/attributes.ts';
import { EXTENDED_ACK, HEADER_LENGTH, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ERROR } from './netlink/message.ts';

const ENOTCONN = 107;
const EINVAL = 22;
const ESRCH = 3;
const NO_WORDS = new Uint8Array();
/** One request in so many is refused. */
const REFUSED = 16;

export class StandIn {
  readonly addon: typeof Addon;
  #show: ((datagram: Uint8Array) => void) | undefined;

  constructor(addon: typeof Addon) {
    const shown = (show: (datagram: Uint8Array) => void): void => {
      this.#show = show;
    };
    class Socket extends addon.NetlinkSocket {
      #requests = 0;
      override request(message: Uint8Array, length: number, reply: Uint8Array): number {
        // The first one asks for the family.
        if (this.#requests++ === 0) return super.request(message, length, reply);
        const refused = this.#requests % REFUSED === 0;
        const which = refused ? (this.#requests / REFUSED) % REFUSALS.length : REFUSALS.length;
        return answer(message, reply, REFUSALS[which]);
      }
      override join(): void {}
      override watch(buffer: Uint8Array, lengths: Int32Array, onDatagrams: (count: number) => void): void {
        shown((datagram) => {
          buffer.set(datagram);
          lengths[0] = datagram.length;
          onDatagrams(1);
        });
      }
    }
    this.addon = { ...addon, NetlinkSocket: Socket };
  }

  show(datagram: Uint8Array): void {
    this.#show?.(datagram);
  }
}

interface Refusal {
  readonly errno: number;
  readonly words: Uint8Array;
}

const REFUSALS: readonly Refusal[] = [
  refusal(ENOTCONN, { message: 'connect error: -107' }),
  refusal(EINVAL, { message: 'invalid token', offset: 20 }),
  refusal(ESRCH, {}),
];

function refusal(errno: number, words: Parameters<typeof EXTENDED_ACK.encode>[1]): Refusal {
  const out = new Writer(128);
  EXTENDED_ACK.encode(out, words);
  return { errno, words: out.bytes.subarray(0, out.at) };
}

/** A struct nlmsgerr, as the kernel writes it: error (0 for "done"), the request's header, and why. */
function answer(message: Uint8Array, reply: Uint8Array, refused: Refusal | undefined): number {
  const words = refused?.words ?? NO_WORDS;
  const length = 2 * HEADER_LENGTH + 4 + words.length;
  const flags = words.length > 0 ? NLM_F_CAPPED | NLM_F_ACK_TLVS : NLM_F_CAPPED;
  const view = new DataView(reply.buffer);
  reply.set(message.subarray(0, HEADER_LENGTH));
  reply.set(message.subarray(0, HEADER_LENGTH), HEADER_LENGTH + 4);
  reply.set(words, 2 * HEADER_LENGTH + 4);
  view.setUint32(0, length, LITTLE_ENDIAN);
  view.setUint16(4, NLMSG_ERROR, LITTLE_ENDIAN);
  view.setUint16(6, flags, LITTLE_ENDIAN);
  view.setInt32(HEADER_LENGTH, -(refused?.errno ?? 0), LITTLE_ENDIAN);
  return length;
}
