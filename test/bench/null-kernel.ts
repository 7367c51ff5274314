/** A kernel that takes every command and does nothing: what is left is the agent's own cost. */
import type { Kernel } from '../../agent/kernel.ts';

export const nullKernel: Kernel = {
  execute: () => undefined,
  abandon: () => {},
  opened: () => {},
  commandable: () => true,
  read: () => undefined,
  readConnection: () => undefined,
};

export const silent = { debug() {}, info() {}, warn() {}, error() {} };
