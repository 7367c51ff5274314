/** Checks a policy against its schema, and says of each error what to do about it. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import leven from 'leven';
import type { Document, Problem } from './document.ts';
import { pointerTo } from './document.ts';
import { formats } from './formats.ts';
import type { Schema } from './kinds.ts';

/** Made to compile fast rather than to validate fast: a schema is used once a reload. */
const OPTIONS = {
  allErrors: true,
  verbose: true,
  allowUnionTypes: true,
  strictTypes: false,
  meta: false,
  validateSchema: false,
  code: { optimize: false },
  formats,
};

/** @throws Error when it is no JSON Schema */
export function compileSchema(schema: Schema): ValidateFunction {
  return new Ajv(OPTIONS).compile(schema);
}

/** Every problem; none when the policy is good. */
export function check(document: Document, schema: Schema): Problem[] {
  const validate = compileSchema(schema);
  validate(document.value);
  // Errors inside the branches of `anyOf` and the `if` itself only repeat what another error says better.
  const errors = (validate.errors ?? []).filter(
    ({ keyword, schemaPath }) =>
      keyword !== 'if' && keyword !== 'propertyNames' && !/\/anyOf\/\d/.test(schemaPath),
  );
  // A key that is missing since it is misspelt is one mistake.
  const meant = new Set(
    errors.filter(isUnknownKey).map((error) => `${error.instancePath} ${closestKey(error)}`),
  );
  const isMeant = ({ keyword, instancePath, params }: ErrorObject): boolean =>
    keyword === 'required' && meant.has(`${instancePath} ${params['missingProperty']}`);
  return errors.filter((error) => !isMeant(error)).map((error) => problemOf(error, document));
}

function isUnknownKey({ keyword }: ErrorObject): boolean {
  return keyword === 'additionalProperties';
}

function closestKey({ params, parentSchema }: ErrorObject): string | undefined {
  return closest(params['additionalProperty'], Object.keys(parentSchema?.['properties']));
}

function problemOf(error: ErrorObject, document: Document): Problem {
  const { keyword, instancePath, params, data } = error;
  const schema = error.parentSchema as Schema;
  const written = JSON.stringify(data).slice(0, 60);
  const value = `\`${written}\``;
  const like = example(schema);
  switch (keyword) {
    case 'additionalProperties': {
      const key = String(params['additionalProperty']);
      const known = Object.keys(schema['properties'] as object);
      return document.problem(
        pointerTo(instancePath, key),
        `unknown key \`${key}\`${suggest(key, known)}`,
        'key',
      );
    }
    case 'required':
      return document.problem(instancePath, `the key \`${params['missingProperty']}\` is missing here`);
    case 'type':
      return document.problem(instancePath, `${value} must be ${typeNames(params['type'])}${like}`);
    case 'enum':
    case 'anyOf': {
      const options = (schema['enum'] ?? (schema['anyOf'] as Schema[])[0]!['enum']) as string[];
      const or = keyword === 'anyOf' ? ', or the absolute path of a .js file' : '';
      return document.problem(
        instancePath,
        `unknown value ${value}${suggest(written.replace(/^"|"$/g, ''), options)}${or}`,
      );
    }
    case 'pattern':
    case 'format':
      if (error.propertyName !== undefined) {
        const key = error.propertyName;
        return document.problem(
          pointerTo(instancePath, key),
          `\`${key}\` is no interface name${like}`,
          'key',
        );
      }
      return document.problem(instancePath, `${value} is not well formed${like}`);
    case 'minimum':
    case 'maximum':
      return document.problem(instancePath, `${value} must be ${params['comparison']} ${params['limit']}`);
    case 'minProperties':
      return document.problem(
        instancePath,
        `at least one key is needed${suggest('', Object.keys(schema['properties'] as object))}`,
      );
    case 'minItems':
      return document.problem(instancePath, `at least one value is needed${like}`);
    case 'minLength':
      return document.problem(instancePath, `the text must not be empty${like}`);
    default:
      return document.problem(instancePath, `${value} ${error.message}`);
  }
}

function example(schema: Schema): string {
  const shown = schema['default'] ?? (schema['examples'] as unknown[] | undefined)?.[0];
  return shown === undefined ? '' : `; for example ${JSON.stringify(shown)}`;
}

function typeNames(types: string | readonly string[]): string {
  const article = (name: string) => (/^[aeiou]/.test(name) ? `an ${name}` : `a ${name}`);
  return [types].flat().map(article).join(' or ');
}

/** The known word that was likely meant. */
function closest(word: string, known: readonly string[]): string | undefined {
  const distance = (other: string) => leven(word.toLowerCase(), other.toLowerCase());
  const [best] = [...known].sort((a, b) => distance(a) - distance(b));
  return best !== undefined && distance(best) <= Math.max(2, word.length / 3) ? best : undefined;
}

function suggest(word: string, known: readonly string[]): string {
  const best = closest(word, known);
  if (best !== undefined) return `, did you mean \`${best}\`?`;
  return known.length > 0 ? `; known: ${known.join(', ')}` : '; none is known here';
}
