/** Finds and loads the native addon, for composition roots and tests; the rest gets it as an argument. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type * as Addon from '../../native/addon/addon.d.ts';

export type { Addon };

/** Works from the sources as from dist/, which lies one level deeper. */
export function loadAddon(): typeof Addon {
  const places = ['../../native/build/smapp.node', '../../../native/build/smapp.node'];
  const path = places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find(existsSync);
  if (path === undefined) {
    throw new Error(
      'native/build/smapp.node is missing: build it with "make --directory=native" (needs gcc)',
    );
  }
  return createRequire(import.meta.url)(path) as typeof Addon;
}
