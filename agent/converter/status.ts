/** What the data path says of itself over its control socket (native/converter/control.h). */
import { createConnection } from 'node:net';

/** Counters since the start (native/converter/stats.h has the meaning of each), but `active`. */
export interface DataPathStats {
  readonly pid: number;
  readonly threads: number;
  readonly draining: boolean;
  readonly uptime_ms: number;
  readonly rss_bytes: number;
  readonly [counter: string]: number | boolean;
}

export interface ConvertedConnection {
  /** `ADDRESS:PORT`, IPv6 addresses in brackets. */
  readonly client: string;
  readonly server: string;
  readonly state: 'request' | 'connect' | 'relay' | 'answer' | 'dead';
  readonly age_ms: number;
  readonly idle_ms: number;
  /** From the client's accept(), or its SYN (`syn_timed`), to the server's answer. */
  readonly open_us: number;
  readonly syn_timed: boolean;
  readonly bytes_up: number;
  readonly bytes_down: number;
  /** Bytes that one of the sides had no room for. */
  readonly held: number;
  readonly protocol: 'mptcp' | 'tcp';
  /** Of the client's side, when that is MPTCP. */
  readonly token?: number;
  readonly subflows?: number;
}

/** Rejects when nobody listens at `socket`. */
export async function readStats(socket: string): Promise<DataPathStats> {
  const [stats] = await ask(socket, 'stats');
  return stats as DataPathStats;
}

export async function readConnections(socket: string): Promise<ConvertedConnection[]> {
  return (await ask(socket, 'connections')) as ConvertedConnection[];
}

/** One word in, objects out, the closing `{"end":true}` left off. */
function ask(socket: string, word: string): Promise<unknown[]> {
  return new Promise((done, fail) => {
    const connection = createConnection(socket, () => connection.write(`${word}\n`));
    let text = '';
    connection.setEncoding('utf8');
    connection.on('data', (chunk) => (text += chunk));
    connection.once('error', (error) => fail(new Error(`the converter does not answer: ${error.message}`)));
    connection.once('close', () => {
      const objects = text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
      done(objects.filter((object) => object.end !== true));
    });
  });
}
