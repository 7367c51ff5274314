/**
 * A controller that does not come with the agent: an ES module named by its path in the policy.
 *
 * It runs with the agent's rights, so nobody but root (or the user that the agent runs as) may be able to
 * change it or put another in its place. Only the module itself is checked, not what it imports.
 */
import { lstatSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Controller } from '../../controllers/controller.ts';
import type { Param } from '../../controllers/params.ts';
import { compileSchema } from './check.ts';

/** @throws Error whose message says why it was refused and what to do */
export async function loadController(path: string, uid: number): Promise<Controller> {
  const refusal = whyNotTrusted(path, uid);
  if (refusal) throw new Error(`refused: ${refusal}`);
  // A module is loaded once a URL: the time of its last change makes a reload see a new version.
  const url = `${pathToFileURL(path)}?changed=${lstatSync(path).mtimeMs}`;
  let module: { default?: Partial<Controller> };
  try {
    module = await import(url);
  } catch (error) {
    const remedy =
      error instanceof SyntaxError && /export|import/.test(error.message)
        ? '; an ES module is named .mjs, or has a package.json with "type": "module" beside it'
        : '';
    throw new Error(`cannot be loaded: ${(error as Error).message}${remedy}`);
  }
  const { name, summary, params, attach } = module.default ?? {};
  if (typeof name === 'string' && typeof summary === 'string' && params && typeof attach === 'function') {
    for (const [key, param] of Object.entries(params)) checkParam(key, param);
    return module.default as Controller;
  }
  throw new Error('its default export is no controller: it needs name, summary, params and attach()');
}

function checkParam(key: string, { schema, parse }: Partial<Param<unknown>>): void {
  const remedy = 'make it with controllers/params';
  if (!schema || typeof parse !== 'function') {
    throw new Error(`its parameter \`${key}\` has no schema or no parse(): ${remedy}`);
  }
  try {
    compileSchema(schema);
  } catch (error) {
    throw new Error(
      `the schema of its parameter \`${key}\` is wrong (${(error as Error).message}): ${remedy}`,
    );
  }
}

/** The first reason why somebody else could decide what is in this file; undefined when nobody can. */
export function whyNotTrusted(path: string, uid: number): string | undefined {
  try {
    const real = realpathSync(path);
    if (real !== path) return `${path} leads over a symbolic link: write ${real}`;
    for (let at = path; ; at = dirname(at)) {
      const { mode, uid: owner } = lstatSync(at);
      if (owner !== 0 && owner !== uid) return `${at} belongs to user ${owner}: chown it to root`;
      if (mode & 0o022) return `${at} can be written by others than its owner: chmod go-w ${at}`;
      if (at === dirname(at)) return undefined;
    }
  } catch (error) {
    return (error as Error).message;
  }
}
