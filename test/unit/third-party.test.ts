/** A controller by path: taken when only its owner can change it, else refused with the reason and the remedy. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { whyNotTrusted } from '../../agent/policy/third-party.ts';
import { parsePolicy } from '../../agent/policy.ts';
import { controllers } from '../../controllers/all.ts';

const uid = process.getuid!();

const mine = `export default {
  name: 'mine', summary: 'Nothing.',
  params: { pause: { fallback: 1, doc: '', schema: { type: 'integer', default: 1 }, parse: Number } },
  attach: () => ({}),
};`;

/** A folder that nobody else can write, nor any folder above it. */
function ownFolder(t: { after(run: () => void): void }): string {
  const parent = ['/run', `/run/user/${uid}`, homedir()].find((path) => !whyNotTrusted(path, uid));
  assert(parent, `every folder that could serve here can be written by others: ${homedir()}`);
  const folder = mkdtempSync(join(parent, 'smappd-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function write(folder: string, name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o644 });
  return path;
}

function parse(path: string, params: object = {}) {
  const text = JSON.stringify({ default: { controller: path, params } });
  return parsePolicy(text, 'p.json', { controllers, uid });
}

test('a module with a controller is taken, and its parameters are checked', async (t) => {
  const path = write(ownFolder(t), 'mine.mjs', mine);
  const { default: use } = await parse(path, { pause: 7 });
  assert.equal(use.controller.name, 'mine');
  assert.deepEqual(use.params, { pause: 7 });
  await assert.rejects(parse(path, { pose: 7 }), /\/default\/params\/pose: .*did you mean `pause`\?$/);
});

test('parameters that a module itself refuses are an error of the policy', async (t) => {
  const picky = mine.replace('parse: Number', "parse: () => { throw new Error('never') }");
  await assert.rejects(parse(write(ownFolder(t), 'mine.mjs', picky), { pause: 7 }), {
    message: 'p.json:1:1: /: a controller refuses its parameters: never',
  });
});

test('a module that changed is loaded anew', async (t) => {
  const folder = ownFolder(t);
  const path = write(folder, 'mine.mjs', mine);
  assert.equal((await parse(path)).default.controller.summary, 'Nothing.');
  write(folder, 'mine.mjs', mine.replace('Nothing.', 'Something.'));
  assert.equal((await parse(path)).default.controller.summary, 'Something.');
});

test('refused: a module that others can write', async (t) => {
  const path = write(ownFolder(t), 'mine.mjs', mine);
  chmodSync(path, 0o664);
  const message = `p.json:1:26: /default/controller: ${path}: refused: ${path} can be written by others than its owner: chmod go-w ${path}`;
  await assert.rejects(parse(path), { message });
});

test('refused: a module in a folder that others can write, however far above', async (t) => {
  const folder = ownFolder(t);
  mkdirSync(join(folder, 'a/b'), { recursive: true, mode: 0o755 });
  const path = write(join(folder, 'a/b'), 'mine.mjs', mine);
  chmodSync(join(folder, 'a'), 0o777);
  await assert.rejects(
    parse(path),
    /refused: .*\/a can be written by others than its owner: chmod go-w .*\/a$/,
  );
  assert.match(String(whyNotTrusted(realpathSync(tmpdir()), uid)), /can be written by others/);
});

test('refused: a module of another user', async (t) => {
  const path = write(ownFolder(t), 'mine.mjs', mine);
  const someoneElse = uid + 1;
  if (uid === 0)
    assert.equal(whyNotTrusted(path, someoneElse), undefined, 'root owns it: any agent may load it');
  else
    assert.match(whyNotTrusted(path, someoneElse)!, new RegExp(`belongs to user ${uid}: chown it to root$`));
});

test('refused: a path over a symbolic link', async (t) => {
  const folder = ownFolder(t);
  const path = write(folder, 'mine.mjs', mine);
  symlinkSync(path, join(folder, 'link.mjs'));
  await assert.rejects(
    parse(join(folder, 'link.mjs')),
    /link\.mjs leads over a symbolic link: write .*\/mine\.mjs$/,
  );
});

test('refused: what is not there, is no module, or exports no controller', async (t) => {
  const folder = ownFolder(t);
  await assert.rejects(parse(join(folder, 'none.mjs')), /none\.mjs: refused: ENOENT/);
  await assert.rejects(parse(write(folder, 'bad.mjs', 'export default {')), /bad\.mjs: cannot be loaded: /);
  const script = 'module.exports = import.meta;';
  await assert.rejects(parse(write(folder, 'old.js', script)), /old\.js: cannot be loaded: /);
  await assert.rejects(
    parse(write(folder, 'half.mjs', "export default { name: 'half' };")),
    /its default export is no controller: it needs name, summary, params and attach\(\)$/,
  );
  await assert.rejects(
    parse(write(folder, 'odd.mjs', mine.replace('schema:', 'scheme:'))),
    /its parameter `pause` has no schema or no parse\(\)/,
  );
  await assert.rejects(
    parse(write(folder, 'type.mjs', mine.replace("'integer'", "'whole'"))),
    /the schema of its parameter `pause` is wrong \(.*whole.*\): make it with controllers\/params$/,
  );
});
