/**
 * For tests that need application identities inside a namespace: says why they work or not, then answers
 * each token on its standard input with what is known of it, a JSON value a line. With the argument `once` it
 * ends after the first line.
 */
import { createInterface } from 'node:readline';
import { loadBpf } from '../../agent/bpf/addon.ts';
import { openIdentities } from '../../agent/bpf/identities.ts';

const identities = openIdentities(loadBpf());
console.log(JSON.stringify({ works: identities.works, reason: identities.reason }));
if (process.argv[2] === 'once') process.exit();
createInterface(process.stdin).on('line', (token) => {
  console.log(JSON.stringify(identities.identityOf(Number(token)) ?? null));
});
