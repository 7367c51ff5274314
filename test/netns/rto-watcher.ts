/**
 * Prints where RTO events come from, then each event, a JSON object a line; for tests that need a source
 * inside a namespace. With the argument `once` it ends after the first line.
 */
import { loadBpf } from '../../agent/bpf/addon.ts';
import { openRtoEvents } from '../../agent/bpf/rto-events.ts';

const source = openRtoEvents(loadBpf());
console.log(JSON.stringify({ mode: source.mode, reason: source.reason }));
if (process.argv[2] === 'once') source.close();
else source.watch((event) => console.log(JSON.stringify({ event })));
