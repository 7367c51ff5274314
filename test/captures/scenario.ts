/** The addresses and ports of the captured connections: what capture.ts makes and the codecs' tests expect. */

export interface Ends {
  readonly socket: 4 | 6;
  readonly server: string;
  readonly client: string;
  /** Where the second subflow starts. */
  readonly second: string;
  /** What the server announces, and takes back. */
  readonly announced: string;
  /** As socket calls name the client's and the server's address. */
  readonly bind: string;
  readonly connect: string;
}

const ipv4 = { server: '10.0.0.1', client: '10.0.0.2', second: '10.0.0.3', announced: '10.0.0.4' };
/** Not those of ipv4, whose ports stay in TIME-WAIT. */
const mapped = { server: '10.1.0.1', client: '10.1.0.2', second: '10.1.0.3', announced: '10.1.0.4' };
const ipv6 = { server: 'fd00::1', client: 'fd00::2', second: 'fd00::3', announced: 'fd00::4' };

export const FAMILIES: Readonly<Record<'ipv4' | 'ipv6' | 'mapped', Ends>> = {
  ipv4: { ...ipv4, socket: 4, bind: ipv4.client, connect: ipv4.server },
  ipv6: { ...ipv6, socket: 6, bind: ipv6.client, connect: ipv6.server },
  /** IPv4 over dual-stack sockets on both sides. */
  mapped: { ...mapped, socket: 6, bind: `::ffff:${mapped.client}`, connect: `::ffff:${mapped.server}` },
};

export const PORTS = { server: 5001, client: 40001, second: 40002, nobody: 5002 };
