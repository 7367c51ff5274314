/** The files made from the policy's table: the JSON Schema for editors, and the reference in docs/policy.md. */
import { readFileSync } from 'node:fs';
import { matchKeys } from '../agent/policy/apps-section.ts';
import type { Schema, Table } from '../agent/policy/kinds.ts';
import { policySchema, sectionsFor } from '../agent/policy/sections.ts';
import { controllers } from '../controllers/all.ts';

const MARK = /(<!-- made by `npm run schema` -->\n)[\s\S]*(<!-- end -->)/;

/** File name, relative to the top of the repository, and what it must contain. */
export function generatedFiles(): Record<string, string> {
  const known = new Map(controllers.map((controller) => [controller.name, controller]));
  const reference = [
    '## Sections',
    ...Object.entries(sectionsFor(known)).map(([name, { doc, schema }]) =>
      [`### \`${name}\``, doc, rows(inside(schema)) || `Value: ${form(schema)}.`].join('\n\n'),
    ),
    '## Keys of `match`',
    rows(tableRows(matchKeys)),
    '## Controllers',
    ...controllers.map(({ name, summary, params }) =>
      [`### \`${name}\``, summary, rows(tableRows(params))].filter(Boolean).join('\n\n'),
    ),
  ].join('\n\n');
  return {
    'policies/policy.schema.json': `${JSON.stringify(policySchema(known), null, 2)}\n`,
    'docs/policy.md': readFileSync('docs/policy.md', 'utf8').replace(
      MARK,
      (_, start: string, end: string) => `${start}\n${reference}\n\n${end}`,
    ),
  };
}

type Row = readonly [key: string, schema: Schema, doc: string];

function tableRows(table: Table): Row[] {
  return Object.entries(table).map(([key, { schema, doc }]) => [key, schema, doc]);
}

/** The keys of a section that is an object, a list of objects, or named objects. `match` has a table of its own. */
function inside(schema: Schema): Row[] {
  const object = [schema, schema['items'], schema['additionalProperties']].find(
    (candidate) => (candidate as Schema | undefined)?.['properties'],
  ) as Schema | undefined;
  const members = Object.entries((object?.['properties'] ?? {}) as Record<string, Schema>);
  return members.flatMap(([key, member]): Row[] => [
    [key, member, String(member['description'] ?? '')],
    ...(key === 'match' ? [] : inside(member)).map(([deeper, ...rest]): Row => [`${key}.${deeper}`, ...rest]),
  ]);
}

function rows(list: readonly Row[]): string {
  if (list.length === 0) return '';
  const lines = list.map(
    ([key, schema, doc]) => `| \`${key}\` | ${form(schema)} | ${doc.replaceAll('|', '\\|')} |`,
  );
  return ['| key | value | meaning |', '|---|---|---|', ...lines].join('\n');
}

/** What may be written, and what holds when nothing is. */
function form(schema: Schema): string {
  const options = schema['enum'] as readonly unknown[] | undefined;
  const example = [schema, schema['items']].flatMap(
    (one) => (one as Schema | undefined)?.['examples'] ?? [],
  )[0];
  const what = options
    ? options.map(code).join(', ')
    : example !== undefined
      ? `${schema['type'] === 'array' ? 'list, ' : ''}such as ${code(example)}`
      : [schema['type'] === 'array' ? 'list' : schema['type']].flat().join(' or ');
  return schema['default'] === undefined ? what : `${what}; default ${code(schema['default'])}`;
}

const code = (value: unknown): string => `\`${JSON.stringify(value)}\``;
