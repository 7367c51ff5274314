/** Recordings of real runs (test/scenarios): the agent must still decide as it did. */
import assert from 'node:assert/strict';
import { createReadStream, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { readRecording, replay } from '../../agent/replay.ts';
import { controllers } from '../../controllers/all.ts';

const FOLDER = 'test/scenarios';
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.jsonl'));
assert.notEqual(files.length, 0);

for (const file of files) {
  test(`${file}: the same decisions as recorded`, async () => {
    const played = replay(await readRecording(createReadStream(`${FOLDER}/${file}`)), { controllers });
    const different = played.filter(({ verdict }) => verdict !== 'same');
    assert.deepEqual(different, [], `smappctl replay ${FOLDER}/${file} shows it; its README says what to do`);
    assert.notEqual(played.length, 0);
  });
}
