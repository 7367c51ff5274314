/** Kinds of controller parameters. One table gives parsing, the JSON Schema and the documentation. */

export interface Param<T> {
  /** The value when the policy gives none, already parsed. */
  readonly fallback: T;
  readonly doc: string;
  /** JSON Schema of the value as written in the policy; its `default` is the fallback as written. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** Turns a value that `schema` accepted into what the controller gets. */
  parse(written: unknown): T;
}

export type ParamsOf<S> = { readonly [K in keyof S]: S[K] extends Param<infer T> ? T : never };

export function count(fallback: number, doc: string): Param<number> {
  return { fallback, doc, schema: { type: 'integer', minimum: 0, default: fallback }, parse: Number };
}

export function ratio(fallback: number, doc: string): Param<number> {
  return { fallback, doc, schema: { type: 'number', minimum: 0, default: fallback }, parse: Number };
}

export function flag(fallback: boolean, doc: string): Param<boolean> {
  return { fallback, doc, schema: { type: 'boolean', default: fallback }, parse: Boolean };
}

export function choice<const T extends string>(options: readonly T[], fallback: T, doc: string): Param<T> {
  return { fallback, doc, schema: { enum: options, default: fallback }, parse: (written) => written as T };
}

const MILLIS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** Written as "250ms", "2.5s", "10m" or "1h"; milliseconds for the controller. */
export function duration(fallback: string, doc: string): Param<number> {
  const parse = (written: unknown): number => {
    const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(String(written))!;
    return Number(amount) * MILLIS[unit as keyof typeof MILLIS];
  };
  const pattern = '^\\d+(\\.\\d+)?(ms|s|m|h)$';
  return { fallback: parse(fallback), doc, schema: { type: 'string', pattern, default: fallback }, parse };
}

const BYTES = { B: 1, KiB: 1024, MiB: 1 << 20, GiB: 1 << 30 } as const;

/** Written as "64KiB"; bytes for the controller. */
export function bytes(fallback: string, doc: string): Param<number> {
  const parse = (written: unknown): number => {
    const [, amount, unit] = /^(\d+)(B|KiB|MiB|GiB)$/.exec(String(written))!;
    return Number(amount) * BYTES[unit as keyof typeof BYTES];
  };
  const pattern = '^\\d+(B|KiB|MiB|GiB)$';
  return { fallback: parse(fallback), doc, schema: { type: 'string', pattern, default: fallback }, parse };
}
