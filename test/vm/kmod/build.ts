/** Builds the module for a VM's kernel, and the programs that its tests and benchmarks run. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync } from 'node:fs';
import { basename, join } from 'node:path';
import { loadProgram } from '../../netns/converter.ts';
import { checkout } from '../cache.ts';
import { headers, type KernelVersion } from '../kernel.ts';
import { sayOnStderr } from '../run.ts';

/** The converter's own program, which gives its listeners and connections to the module. */
export const CONVERTER = join(checkout, 'native/build/smapp-convert');

/** The module for this kernel, built in `into`; returns its path. Throws with the compiler's words. */
export function buildModule(kernel: KernelVersion, into: string): string {
  const directory = join(into, `kmod-${kernel}`);
  cpSync(join(checkout, 'native/kmod'), directory, { recursive: true });
  // KASAN surrounds what is on the stack.
  const strict = 'KCFLAGS=-Werror -Wno-error=frame-larger-than=';
  run('make', ['--directory', directory, `KDIR=${headers(kernel, sayOnStderr)}`, strict]);
  return join(directory, 'smapp_convert.ko');
}

/** Puts `holder`, `converter-load` and `smapp-convert` into `into`, and further `programs`. */
export function gatherPrograms(into: string, programs: readonly string[] = []): void {
  const source = join(checkout, 'test/vm/kmod/holder.c');
  run('cc', ['-O2', '-Wall', '-Wextra', '-o', join(into, 'holder'), source]);
  for (const program of [loadProgram(), CONVERTER, ...programs])
    copyFileSync(program, join(into, basename(program)));
}

function run(program: string, args: readonly string[]): void {
  try {
    execFileSync(program, args, { stdio: 'pipe', encoding: 'utf8' });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? error.stderr : error;
    throw new Error(`${program} ${args.join(' ')} failed:\n${said}`, { cause: error });
  }
}
