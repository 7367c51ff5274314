/**
 * Runs a command under supervisor.c, which does what of systemd the restart relies on (notifications,
 * watchdog, the file descriptor store), and tells the test what it saw. Built with `cc` at first use.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Milliseconds; test/vm gives more, because emulated processors are slow. */
export const PATIENCE = Number(process.env['SMAPPD_TEST_PATIENCE'] ?? 10_000);

export interface Supervised {
  /** Of the process that runs now. */
  readonly pid: number;
  /** Everything seen so far: `started PID`, `notify TEXT`, `kept NAME`, `forgot NAME`, `exited CODE`, `killed SIGNAL`. */
  readonly lines: readonly string[];
  /** The first line from index `from` that matches, waiting for it if need be. Rejects after `timeout` ms. */
  until(pattern: RegExp, from?: number, timeout?: number): Promise<string>;
  /** SIGTERM to the command, waits for its end, and removes everything. */
  stop(): Promise<void>;
}

/**
 * `env` is added to the test's own; what the command writes goes to our standard error. `watchdog` in ms is
 * only told to the command, and never enforced: the test looks at the `notify WATCHDOG=1` lines.
 */
export async function supervise(
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
  watchdog = 0,
): Promise<Supervised> {
  const folder = mkdtempSync(join(tmpdir(), 'smappd-supervisor-'));
  const program = join(folder, 'supervisor');
  // The tests run compiled, from dist/test/netns: C sources stay where they are.
  const source = new URL('../../../test/netns/supervisor.c', import.meta.url).pathname;
  execFileSync('cc', ['-O1', '-Wall', '-o', program, source], { stdio: ['ignore', 'inherit', 'inherit'] });

  const child = spawn(program, [join(folder, 'notify.sock'), String(watchdog * 1000), ...command], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((done) => child.once('close', () => done()));
  const lines: string[] = [];
  let pid = 0;
  let wake: () => void = () => {};
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    if (line.startsWith('started ')) pid = Number(line.slice('started '.length));
    wake();
  });

  const until = async (pattern: RegExp, from = 0, timeout = PATIENCE): Promise<string> => {
    const end = Date.now() + timeout;
    for (;;) {
      const found = lines.slice(from).find((line) => pattern.test(line));
      if (found !== undefined) return found;
      const left = end - Date.now();
      if (left <= 0) throw new Error(`no ${pattern} in:\n${lines.slice(from).join('\n')}`);
      await new Promise<void>((done) => {
        const timer = setTimeout(done, left);
        wake = () => {
          clearTimeout(timer);
          done();
        };
      });
    }
  };
  await until(/^started /);
  return {
    get pid() {
      return pid;
    },
    lines,
    until,
    async stop() {
      child.stdin.end();
      const giveUp = setTimeout(() => {
        process.kill(pid, 'SIGKILL');
      }, PATIENCE);
      await ended;
      clearTimeout(giveUp);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
