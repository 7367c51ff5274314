/**
 * MPTCP address ids (RFC 8684, section 3.4.1) of the host's addresses: 1 to 254, one for each address.
 *
 * An address keeps its id for as long as anyone may remember it: peers do, and connections outlive the
 * daemon. So the id follows from the address, and where two addresses want the same one, the choice is
 * remembered (the journal writes it down).
 */

const LAST = 254;

export class AddressIds {
  /** In the order in which they were last present. */
  readonly #ids: Map<string, number>;

  constructor(known: Readonly<Record<string, number>> = {}) {
    this.#ids = new Map(Object.entries(known));
  }

  /**
   * The ids of the addresses that are there now. When ids run out, addresses that are gone lose theirs, the
   * longest gone first; when 254 are there, the rest get none.
   */
  assign(present: readonly string[]): ReadonlyMap<string, number> {
    for (const ip of present) {
      const id = this.#ids.get(ip);
      if (id === undefined) continue;
      this.#ids.delete(ip);
      this.#ids.set(ip, id);
    }
    const here = new Set(present);
    const gone = [...this.#ids.keys()].filter((ip) => !here.has(ip));
    const taken = new Set(this.#ids.values());
    for (const ip of present) {
      if (this.#ids.has(ip)) continue;
      const oldest = taken.size === LAST ? gone.shift() : undefined;
      if (oldest !== undefined) {
        taken.delete(this.#ids.get(oldest)!);
        this.#ids.delete(oldest);
      }
      const id = free(ip, taken);
      if (id === undefined) break;
      taken.add(id);
      this.#ids.set(ip, id);
    }
    return this.#ids;
  }

  known(): Record<string, number> {
    return Object.fromEntries(this.#ids);
  }
}

/** The first free id from where the address' hash points. */
function free(ip: string, taken: ReadonlySet<number>): number | undefined {
  const wanted = hash(ip) % LAST;
  for (let i = 0; i < LAST; i++) {
    const id = 1 + ((wanted + i) % LAST);
    if (!taken.has(id)) return id;
  }
  return undefined;
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const character of text) value = Math.imul(value ^ character.charCodeAt(0), 0x01000193);
  return value >>> 0;
}
