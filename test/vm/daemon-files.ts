/** What of this checkout smappd and smappctl read when they run: a guest brings it into RAM (see VmJob.virtualTime). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from './cache.ts';

const OWN = ['package.json', 'dist/agent', 'dist/controllers', 'dist/policies', 'native/build', 'policies'];

/** Relative to the checkout. */
export function daemonFiles(): string[] {
  const lock = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  const modules = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && !dev);
  return [...OWN, ...modules.map(([path]) => path)];
}
