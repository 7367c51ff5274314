/** `npm run figures`: redraws docs/figures/ from the last results; figures without results stay as they are. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { kept } from '../bench/results.ts';
import { addedDelay, goodputOverBuffers, goodputOverSegments, requestsOverSize } from './converter.ts';
import { blockDelay, completion, type Kept, reaction, sequence } from './figures.ts';
import { draw, type Figure } from './plot.ts';

const FIGURES: readonly (readonly [
  file: string,
  results: string,
  made: string,
  figure: (from: Kept) => Figure,
])[] = [
  ['2a-sequence.svg', 'backup', 'npm run lab -- backup', sequence],
  ['2b-block-delay.svg', 'streaming', 'npm run lab -- streaming', blockDelay],
  ['2c-completion.svg', 'ecmp', 'npm run lab -- ecmp', completion],
  ['3-reaction.svg', 'reaction', 'npm run bench -- reaction', reaction],
  ['converter-delay.svg', 'converter', 'npm run bench -- converter', addedDelay],
  ['converter-segments.svg', 'converter', 'npm run bench -- converter', goodputOverSegments],
  ['converter-requests.svg', 'converter', 'npm run bench -- converter', requestsOverSize],
  ['converter-buffers.svg', 'converter', 'npm run bench -- converter', goodputOverBuffers],
];

const directory = fileURLToPath(new URL('../../../docs/figures/', import.meta.url));
mkdirSync(directory, { recursive: true });
for (const [file, results, made, figure] of FIGURES) {
  try {
    writeFileSync(`${directory}${file}`, draw(figure(kept(results, made) as Kept)));
    process.stderr.write(`figures: ${file}\n`);
  } catch (error) {
    process.stderr.write(
      `figures: ${file} stays as it is: ${error instanceof Error ? error.message : error}\n`,
    );
  }
}
