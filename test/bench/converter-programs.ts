/** The C programs beside this file, built at first use and when they change. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Compiled, this file is in dist/test/bench; the sources stay where they are.
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Returns the path of the program made of test/bench/NAME.c and further sources, named from the top. */
export function benchProgram(name: string, ...more: string[]): string {
  const program = join(ROOT, 'dist/test/bench', name);
  const sources = [`test/bench/${name}.c`, ...more].map((file) => join(ROOT, file));
  const fresh =
    existsSync(program) && sources.every((file) => statSync(file).mtimeMs < statSync(program).mtimeMs);
  if (!fresh) {
    mkdirSync(dirname(program), { recursive: true });
    execFileSync('cc', ['-O2', '-Wall', '-pthread', '-o', program, ...sources], { stdio: 'inherit' });
  }
  return program;
}
