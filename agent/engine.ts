/** What smappd asks of V8, for short reactions and short pauses instead of throughput. */
import { setFlagsFromString } from 'node:v8';

/** From the start. */
export function compileEarly(): void {
  // Reaction time is what code takes with cold caches: so it is compiled when it first runs, and optimized after
  // hundreds of connections (the rehearsal's) instead of thousands.
  set('--no-lazy-feedback-allocation', '--always-sparkplug', '--interrupt-budget=10000');
  // The young generation stays at its first megabyte. When most of it lives on, as in a resync, collecting it takes a
  // millisecond or two; after it has grown sixteenfold, ten and more.
  set('--semi-space-growth-factor=1');
  // What runs once an hour is to run then as it did first: V8 would throw away code that has not run for some collections.
  set('--no-flush-bytecode');
}

/**
 * What an event runs through becomes one piece, which has half the instructions to fetch. When the state has been read:
 * the collector has to wait while another thread compiles large pieces, for milliseconds when there is much to collect.
 */
export function inlineMore(): void {
  set('--max-inlined-bytecode-size=1000', '--max-inlined-bytecode-size-cumulative=3000');
}

function set(...flags: readonly string[]): void {
  for (const flag of flags) setFlagsFromString(flag);
}
