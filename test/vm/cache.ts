/**
 * What the VM runner downloads and builds, kept under .cache/vm. An entry is built in a directory of its own
 * and renamed when complete, so a half-made one is never seen; it is made again when its recipe has changed.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout, from the compiled file's place. */
export const checkout = fileURLToPath(new URL('../../../', import.meta.url));

const root = join(checkout, '.cache/vm');

/**
 * The directory of entry `name`, made by `build` unless it is there already. `recipe` is all that decides the
 * outcome; `proof` are files in it that must exist.
 */
export function cached(
  name: string,
  recipe: string,
  proof: readonly string[],
  build: (directory: string) => void,
): string {
  const directory = join(root, name);
  const key = createHash('sha256').update(recipe).digest('hex');
  const recipeFile = join(directory, 'recipe');
  const complete = [recipeFile, ...proof.map((file) => join(directory, file))].every((file) =>
    existsSync(file),
  );
  if (complete && readFileSync(recipeFile, 'utf8') === key) return directory;

  const building = `${directory}.building-${process.pid}`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(building, { recursive: true });
  try {
    build(building);
    writeFileSync(join(building, 'recipe'), key);
    rmSync(directory, { recursive: true, force: true });
    renameSync(building, directory);
  } catch (error) {
    rmSync(building, { recursive: true, force: true });
    // Another process that made the same entry meanwhile has won.
    if (
      !(error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'EEXIST'))
    )
      throw error;
  }
  return directory;
}
