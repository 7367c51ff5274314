/**
 * Whether connections that are made now go to the userspace path manager (sysctl net.mptcp.pm_type).
 *
 * Asked for every new connection, in the moment when its second subflow is about to be opened, and asking the
 * kernel then takes longer than all else that has to be done. So the answer is the last one that was read,
 * and it is read again soon after it was used. When somebody sets the sysctl back while we run, the first
 * connection after that may be taken for ours: the kernel refuses what is asked for it.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../clock.ts';
import type { Millis } from '../model.ts';

const PATH = '/proc/sys/net/mptcp/pm_type';
const READ_AGAIN_AFTER: Millis = 100;

export function userspaceByDefault(clock: Clock): () => boolean {
  let known: boolean | undefined;
  let reading = false;
  const read = (): boolean => {
    reading = false;
    known = readFileSync(PATH, 'latin1').trim() === '1';
    return known;
  };
  return () => {
    if (known === undefined) return read();
    if (!reading) clock.after(READ_AGAIN_AFTER, read);
    reading = true;
    return known;
  };
}
