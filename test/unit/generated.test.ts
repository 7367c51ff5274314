/** What is made from the policy's table is up to date, and every example policy is good. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { loadPolicy, parsePolicy } from '../../agent/policy.ts';
import { controllers } from '../../controllers/all.ts';
import { generatedFiles } from '../../policies/generated.ts';

for (const [file, content] of Object.entries(generatedFiles())) {
  test(`${file} is what \`npm run schema\` makes`, () => {
    assert(readFileSync(file, 'utf8') === content, `${file} is stale: run npm run schema`);
  });
}

const examples = readdirSync('policies').filter((name) => /(?<!schema)\.json$/.test(name));
for (const name of examples) {
  test(`policies/${name} is a good policy`, async () => {
    await loadPolicy(`policies/${name}`, { controllers, uid: 0 });
  });
}

test('the examples in docs/policy.md are good policies', async () => {
  const blocks = [...readFileSync('docs/policy.md', 'utf8').matchAll(/```json\n([\s\S]*?)```/g)];
  assert.notEqual(blocks.length, 0);
  for (const [, text] of blocks) await parsePolicy(text!, 'docs/policy.md', { controllers, uid: 0 });
});
