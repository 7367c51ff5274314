/** User names by number: /etc/passwd, and for users that are not in it whatever `getent` knows (LDAP, DynamicUser=). */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import type { Millis } from '../model.ts';

/** How long an answer of `getent` holds: systemd gives the numbers of dynamic users to others later. */
const GOOD_FOR: Millis = 60_000;
const PATIENCE: Millis = 1000;

export class Users {
  readonly #file: string;
  readonly #now: () => Millis;
  #fromFile = new Map<number, string>();
  #version = '';
  readonly #asked = new Map<number, { name: string | undefined; at: Millis }>();

  constructor(now: () => Millis, file = '/etc/passwd') {
    this.#now = now;
    this.#file = file;
  }

  nameOf(uid: number): string | undefined {
    this.#readFile();
    const known = this.#fromFile.get(uid);
    if (known !== undefined) return known;
    let asked = this.#asked.get(uid);
    if (!asked || this.#now() - asked.at > GOOD_FOR) {
      asked = { name: askGetent(uid), at: this.#now() };
      this.#asked.set(uid, asked);
    }
    return asked.name;
  }

  #readFile(): void {
    const stat = statSync(this.#file, { throwIfNoEntry: false });
    const version = stat ? `${stat.ino} ${stat.size} ${stat.mtimeMs}` : '';
    if (version === this.#version) return;
    this.#version = version;
    const lines = stat ? readFileSync(this.#file, 'utf8').split('\n') : [];
    const users = lines.map((line) => line.split(':')).filter((fields) => fields.length > 2);
    // Where a number has several names the first counts, as with getpwuid().
    this.#fromFile = new Map(users.reverse().map(([name, , uid]) => [Number(uid), name!]));
  }
}

function askGetent(uid: number): string | undefined {
  try {
    const found = execFileSync('getent', ['passwd', String(uid)], {
      encoding: 'utf8',
      timeout: PATIENCE,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return found.split(':')[0];
  } catch {
    return undefined; // No such user, or no getent.
  }
}

/** The number of a group in /etc/group; undefined when there is no such group. */
export function groupId(name: string, file = '/etc/group'): number | undefined {
  const line = readFileSync(file, 'utf8')
    .split('\n')
    .find((group) => group.startsWith(`${name}:`));
  return line === undefined ? undefined : Number(line.split(':')[2]);
}
