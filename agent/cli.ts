#!/usr/bin/env node
/** Composition root of smappctl. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Terminal } from './cli/command.ts';
import { dispatch } from './cli/dispatch.ts';
import { commands } from './cli/table.ts';
import { machineClock } from './clock.ts';

// dist/agent/cli.js lies two folders down.
const home = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const { env, stdout, stderr } = process;
const interactive = stdout.isTTY === true;
const terminal: Terminal = {
  write: (text) => stdout.write(text),
  complain: (text) => stderr.write(text),
  get columns() {
    return stdout.columns || 100;
  },
  get rows() {
    return stdout.rows || 40;
  },
  interactive,
  colours: interactive && !env['NO_COLOR'] && env['TERM'] !== 'dumb',
  env,
  uid: process.getuid?.() ?? 0,
  node: process.execPath,
  home,
  // Most commands need neither.
  network: async () => {
    const { RtnetlinkHost } = await import('./host/rtnetlink.ts');
    return new RtnetlinkHost((await import('./netlink/addon.ts')).loadAddon());
  },
  clock: machineClock,
  today: () => Date.now(),
  interrupted: () =>
    new Promise((done) => {
      process.once('SIGINT', () => done());
      process.once('SIGTERM', () => done());
    }),
  passSignals(to) {
    for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, () => {});
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => to(signal));
  },
};

// `smappctl events | head`: the reader has what it wanted.
stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
  version: string;
};
process.exitCode = await dispatch(process.argv.slice(2), commands, version, terminal);
