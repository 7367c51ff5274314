/** The agent of a client whose applications go through a converter: APPS (JSON). Ends with its standard input. */
import { loadBpf } from '../../agent/bpf/addon.ts';
import { machineClock } from '../../agent/clock.ts';
import { Via } from '../../agent/converter/via.ts';

const log = { warn: (_fields: object, text: string) => console.error(text) };
const via = new Via({ bpf: loadBpf(), clock: machineClock, log });
await via.configure(JSON.parse(process.argv[2]!));
console.log('ready');
process.stdin.resume().once('end', () => process.exit(0));
