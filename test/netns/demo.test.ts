/** The demo, hurried: what `npm run demo -- --json` says of the phone story is what the story must be. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

test('a transfer begun on Wi-Fi carries on over LTE and returns, without a byte lost', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'smappd-demo-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const svg = join(folder, 'demo.svg');
  const demo = fileURLToPath(new URL('../demo/main.js', import.meta.url));
  const output = execFileSync(process.execPath, [demo, '--quick', '--json', '--svg', svg], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const result = JSON.parse(output);
  assert.equal(result.completed, true);
  assert.equal(result.sha256_ok, true);
  assert.equal(result.bytes_on_backup_before_failure, 0);
  assert.equal(result.returned_to_primary, true);
  assert.ok(result.failover_ms > 0);
  assert.ok(result.stall_ms_max > 0);
  assert.ok(result.acknowledged.wlan0 > 0 && result.acknowledged.wwan0 > 0);
  assert.match(readFileSync(svg, 'utf8'), /^<svg [\s\S]*<\/svg>\n$/);
});
