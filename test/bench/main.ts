/** `npm run bench -- NAME [--json]`: runs one benchmark of this folder, keeps its result and prints it. */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { keep, type Result, table } from './results.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false } },
});
const [name = ''] = positionals;
const file = new URL(`./${name}.js`, import.meta.url);
if (!/^[a-z-]+$/.test(name) || !existsSync(file)) {
  console.error('usage: npm run bench -- NAME [--json]; a name is a file of test/bench that exports `run`');
  process.exit(2);
}
const { run } = (await import(file.href)) as { run?: (progress: (text: string) => void) => Promise<Result> };
if (!run) throw new Error(`${name} is no benchmark: it exports no run`);
const made = await run((text) => process.stderr.write(`${name}: ${text}\n`));
const path = keep(made);
console.log(values.json ? JSON.stringify(made) : `${table(made)}\nkept in ${path}`);
process.exit(0);
