/** How the converter reaches the host: commands and long-lived programs. An argument, so that tests put it in a namespace. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

export interface Machine {
  /** Runs to the end and resolves to standard output. Rejects with the command line and its error output. */
  run(command: string, args: readonly string[], input?: string): Promise<string>;
  /** Starts a program that outlives this process if need be. */
  start(command: string, args: readonly string[]): ChildProcess;
}

/** `prefix` is put before every command: `nsenter --net=PATH`, say. */
export function machine(prefix: readonly string[] = []): Machine {
  const begin = (command: string, args: readonly string[], options: SpawnOptions): ChildProcess => {
    const [program, ...rest] = [...prefix, command, ...args];
    return spawn(program!, rest, options);
  };
  return {
    run: (command, args, input = '') =>
      new Promise((done, fail) => {
        const child = begin(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
        let output = '';
        let errors = '';
        child.stdout?.on('data', (chunk) => (output += chunk));
        child.stderr?.on('data', (chunk) => (errors += chunk));
        child.once('error', fail);
        child.once('close', (code) => {
          if (code === 0) done(output);
          else fail(new Error(`${command} ${args.join(' ')}: ${errors.trim() || `exit status ${code}`}`));
        });
        // A command that ends before it has read all says why by its status.
        child.stdin?.on('error', () => {});
        child.stdin?.end(input);
      }),
    start: (command, args) => begin(command, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] }),
  };
}
