/** The policy file: from text to a checked policy, or to errors that name line, column and remedy. */
import { readFileSync } from 'node:fs';
import type { Controller } from '../controllers/controller.ts';
import { MODULE_PATH } from './policy/apps-section.ts';
import { check } from './policy/check.ts';
import { Document, type Problem } from './policy/document.ts';
import { type Policy, parseSections, policySchema } from './policy/sections.ts';
import { loadController } from './policy/third-party.ts';

export type { Policy } from './policy/sections.ts';

export interface PolicyReader {
  /** The controllers that come with the agent. */
  readonly controllers: readonly Controller[];
  /** The user that the agent runs as: with root, the only owner of third-party controllers. */
  readonly uid: number;
}

/** All that is wrong with a policy file. Its message has a line each: `FILE:LINE:COLUMN: POINTER: message`. */
export class PolicyError extends Error {
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[]) {
    const lines = problems.map(
      ({ line, column, pointer, message }) => `${file}:${line}:${column}: ${pointer}: ${message}`,
    );
    super(lines.join('\n'));
    this.name = 'PolicyError';
    this.problems = problems;
  }
}

/** @throws PolicyError */
export async function loadPolicy(file: string, reader: PolicyReader): Promise<Policy> {
  return parsePolicy(readPolicy(file), file, reader);
}

/** The file's text. @throws PolicyError */
export function readPolicy(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const message = `cannot be read: ${(error as Error).message}`;
    throw new PolicyError(file, [{ line: 1, column: 1, pointer: '/', message }]);
  }
}

/** @throws PolicyError, in which `file` stands for the text */
export async function parsePolicy(text: string, file: string, reader: PolicyReader): Promise<Policy> {
  const document = new Document(text);
  if (document.problems.length > 0) throw new PolicyError(file, document.problems);

  const controllers = new Map(reader.controllers.map((controller) => [controller.name, controller]));
  const problems: Problem[] = [];
  for (const [pointer, path] of modulesIn(document.value)) {
    if (controllers.has(path)) continue;
    try {
      controllers.set(path, await loadController(path, reader.uid));
    } catch (error) {
      problems.push(document.problem(pointer, `${path}: ${(error as Error).message}`));
    }
  }
  problems.push(...check(document, policySchema(controllers)), ...namesTwice(document));
  if (problems.length > 0) {
    throw new PolicyError(
      file,
      problems.sort((a, b) => a.line - b.line || a.column - b.column),
    );
  }
  try {
    return parseSections(document.value, controllers);
  } catch (error) {
    // Only a third party's parse() can throw on what its own schema allows.
    const message = `a controller refuses its parameters: ${(error as Error).message}`;
    throw new PolicyError(file, [document.problem('', message)]);
  }
}

/** Looks into a value that nobody has checked yet. */
function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function appsIn(policy: unknown): unknown[] {
  const apps = member(policy, 'apps');
  return Array.isArray(apps) ? apps : [];
}

/** Where the policy names a controller by its path: pointer and path. */
function modulesIn(policy: unknown): [pointer: string, path: string][] {
  const named = appsIn(policy).map((app, index): [string, unknown] => [
    `/apps/${index}/controller`,
    member(app, 'controller'),
  ]);
  named.push(['/default/controller', member(member(policy, 'default'), 'controller')]);
  const modulePath = new RegExp(MODULE_PATH);
  return named.filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string' && modulePath.test(entry[1]),
  );
}

function namesTwice(document: Document): Problem[] {
  const seen = new Set<unknown>();
  return appsIn(document.value).flatMap((app, index) => {
    const name = member(app, 'name');
    if (typeof name === 'string' && seen.has(name)) {
      return [
        document.problem(
          `/apps/${index}/name`,
          `another app before this one is called \`${name}\` too: rename one`,
        ),
      ];
    }
    seen.add(name);
    return [];
  });
}
