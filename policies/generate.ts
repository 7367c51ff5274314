/** `npm run schema`: writes the files that are made from the policy's table. */
import { writeFileSync } from 'node:fs';
import { generatedFiles } from './generated.ts';

for (const [file, content] of Object.entries(generatedFiles())) {
  writeFileSync(file, content);
  console.log(file);
}
