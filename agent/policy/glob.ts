/** Patterns in a policy: `*` stands for any number of any characters, all else for itself. */

export function glob(pattern: string): (text: string) => boolean {
  if (!pattern.includes('*')) return (text) => text === pattern;
  const source = pattern.split('*').map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&'));
  const expression = new RegExp(`^${source.join('.*')}$`, 's');
  return (text) => expression.test(text);
}

export function anyGlob(patterns: readonly string[]): (text: string) => boolean {
  const all = patterns.map(glob);
  return (text) => all.some((matches) => matches(text));
}
