/** An agent that runs nothing but a converter, for a test to kill: FOLDER NAMESPACE POLICY (JSON). */
import { machineClock } from '../../agent/clock.ts';
import { Converter } from '../../agent/converter/converter.ts';
import { machine } from '../../agent/converter/machine.ts';
import { PROGRAM, policy } from './converter.ts';

const [folder, namespace, written] = process.argv.slice(2);
const silent = { info() {}, warn() {} };
const converter = new Converter({
  machine: machine(['nsenter', `--net=${namespace}`]),
  clock: machineClock,
  log: silent,
  program: PROGRAM,
  folder: folder!,
});
await converter.start(policy(JSON.parse(written!)));
console.log(converter.pid);
process.stdin.resume();
