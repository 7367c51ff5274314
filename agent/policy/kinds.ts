/** Kinds of policy values beyond those that controllers need: texts, one-or-many lists, groups of values. */
import type { Param, ParamsOf } from '../../controllers/params.ts';

export type Schema = Readonly<Record<string, unknown>>;
export type Table = Readonly<Record<string, Param<unknown>>>;

/** An object with the members of a table, each of which may be left out. */
export function group<const S extends Table>(members: S, doc: string): Param<ParamsOf<S>> {
  const parse = (written: unknown): ParamsOf<S> => {
    const given = written as Record<string, unknown>;
    const parsed = Object.entries(members).map(([key, member]) => [
      key,
      Object.hasOwn(given, key) ? member.parse(given[key]) : member.fallback,
    ]);
    return Object.fromEntries(parsed) as ParamsOf<S>;
  };
  const schema = { type: 'object', properties: propertiesOf(members), additionalProperties: false };
  return { fallback: parse({}), doc, schema, parse };
}

/** JSON Schema's `properties` for a table. */
export function propertiesOf(members: Table): Record<string, Schema> {
  return Object.fromEntries(
    Object.entries(members).map(([key, { schema, doc }]) => [key, { ...schema, description: doc }]),
  );
}

/** A text that may be left out. `schema` narrows it. */
export function text(doc: string, schema: Schema = {}): Param<string | undefined> {
  return { fallback: undefined, doc, schema: { type: 'string', minLength: 1, ...schema }, parse: String };
}

/** A list, empty when left out. */
export function list<T>(item: Omit<Param<T>, 'fallback' | 'doc'>, doc: string): Param<readonly T[]> {
  const parse = (written: unknown): readonly T[] => (written as unknown[]).map(item.parse);
  return { fallback: [], doc, schema: { type: 'array', items: item.schema }, parse };
}

/**
 * One value or several, any of which will do; undefined when left out. In the schema the item's own
 * keywords stand beside `items`: each of them applies to one JSON type only, so errors stay exact.
 */
export function oneOrMany<T>(
  item: Omit<Param<T>, 'fallback' | 'doc'>,
  doc: string,
): Param<readonly T[] | undefined> {
  const parse = (written: unknown): readonly T[] =>
    (Array.isArray(written) ? written : [written]).map((one) => item.parse(one));
  const { type, ...keywords } = item.schema;
  const schema = { type: [type, 'array'].flat(), ...keywords, items: item.schema, minItems: 1 };
  return { fallback: undefined, doc, schema, parse };
}
