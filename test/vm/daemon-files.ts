/** What of this checkout smappd and smappctl read when they run: a guest unpacks it in RAM (see VmJob.virtualTime). */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from './cache.ts';

const OWN = ['package.json', 'dist/agent', 'dist/controllers', 'dist/policies', 'native/build', 'policies'];

/** Makes the tar `archive` of it, with `more` of the checkout: one file to read is quicker than hundreds. */
export function archiveDaemon(archive: string, more: readonly string[] = []): void {
  const only = ['--exclude=*.map', '--exclude=*.d.ts', '--exclude=*.md'];
  const from = [`--file=${archive}`, `--directory=${checkout}`];
  execFileSync('tar', ['--create', ...from, ...only, ...daemonFiles(), ...more]);
}

/** Relative to the checkout. */
function daemonFiles(): string[] {
  const lock = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  const modules = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && !dev);
  return [...OWN, ...modules.map(([path]) => path)];
}
