#!/usr/bin/env node
/** smappd: its command line, signals and terminal. What runs in between is built in daemon.ts. */
import { existsSync, readFileSync } from 'node:fs';
import { release, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { controllers } from '../controllers/all.ts';
import { loadBpf } from './bpf/addon.ts';
import { machineClock } from './clock.ts';
import { startDaemon } from './daemon.ts';
import { compileEarly } from './engine.ts';
import { showLive } from './live.ts';
import { loadAddon } from './netlink/addon.ts';
import { HELP, type Options, parseOptions } from './options.ts';
import { loadPolicy, PolicyError } from './policy.ts';
import { putBack } from './put-back.ts';
import { inheritedFds, serviceManager } from './systemd.ts';

const USUAL_POLICY = '/etc/smappd/policy.json';
const HIGHEST_PRIORITY = -20;

const { env, pid, stdout } = process;
const uid = process.getuid?.() ?? 0;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const { version } = JSON.parse(readFileSync(here('../../package.json'), 'utf8')) as { version: string };

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  const embedded = here('../../policies/default.json');
  const file = options.policy ?? (existsSync(USUAL_POLICY) ? USUAL_POLICY : embedded);
  switch (options.mode) {
    case 'help':
      return console.log(HELP);
    case 'version':
      return console.log(version);
    case 'check':
      return check(file);
    case 'put-back':
      return putBack(options.control, { addon: loadAddon(), clock: machineClock, log: logger(options.log) });
    case 'run':
      return run(file, options);
  }
}

/** Problems are what was asked for, so they go to standard output. */
async function check(file: string): Promise<void> {
  try {
    await loadPolicy(file, { controllers, uid });
    console.log(`${file}: good`);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    console.log(error.message);
    process.exitCode = 1;
  }
}

async function run(file: string, options: Options): Promise<void> {
  const live = options.live ?? stdout.isTTY;
  const log = logger(live ? 'fatal' : options.log);
  try {
    setPriority(HIGHEST_PRIORITY); // reaction time on a busy host
  } catch {
    log.debug({}, 'runs at normal priority: no CAP_SYS_NICE');
  }
  compileEarly();
  const addon = loadAddon();
  const clock = machineClock;
  const manager = serviceManager(env, pid, addon, process.hrtime.bigint);
  const running = await startDaemon(file, options.control, {
    about: { version, pid, uid, kernel: release(), epoch: Date.now() - clock.now() },
    addon,
    bpf: loadBpf(),
    clock,
    log,
    random: Math.random,
    iso: () => new Date().toISOString(),
    controllers,
    compiles: 'WebAssembly' in globalThis, // which --jitless takes away, too
    manager,
    kept: inheritedFds(env, pid, addon),
    programs: here('../../native/build'),
    leaveHost: options.leaveHost,
    failed: crash,
  });
  const endLive = live ? showLive(running.daemon, screen(), clock) : undefined;
  if (manager?.watchdog) setInterval(() => manager.beat(), manager.watchdog / 2).unref();

  process.on('SIGHUP', () => void running.reload('SIGHUP'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      log.info({ signal }, 'ends');
      endLive?.();
      await running.stop();
      process.exit(0);
    });
  }
}

function logger(level: string) {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }));
}

function screen() {
  return {
    write: (text: string) => stdout.write(text),
    get columns() {
      return stdout.columns || 100;
    },
    get rows() {
      return stdout.rows || 40;
    },
    colours: !env['NO_COLOR'] && env['TERM'] !== 'dumb',
  };
}

function crash(error: unknown): never {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

main().catch(crash);
