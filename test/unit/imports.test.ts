/** Which file may know of which, and who may touch the world outside: each rule with its reason. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

interface Rule {
  readonly name: string;
  readonly reason: string;
  readonly files: RegExp;
  readonly except?: RegExp;
  /** Of what such a file imports, what the rule forbids: a path from the top, or a package. */
  readonly imports?: (imported: string, onlyTypes: boolean) => boolean;
  /** What the file's code, without comments, must not have. */
  readonly text?: RegExp;
}

const ROOTS = /^agent\/(main|cli)\.ts$/;
const OURS = /^(agent|controllers|native|policies|test)\//;

const rules: Rule[] = [
  {
    name: 'model imports nothing',
    reason: 'the nouns are shared by all, so they may depend on none',
    files: /^agent\/model\.ts$/,
    imports: () => true,
  },
  {
    name: 'netlink knows the model at most',
    reason: 'codecs and transport are used by tools and tests that have no agent state',
    files: /^agent\/netlink\//,
    imports: (path) => OURS.test(path) && !/^agent\/netlink\/|^agent\/model\.ts$|^native\/addon\//.test(path),
  },
  {
    name: 'controllers see each other and the types of the model',
    reason: 'a strategy that can be read, tested and replayed alone is one that touches nothing else',
    files: /^controllers\//,
    except: /^controllers\/all\.ts$/,
    imports: (path, onlyTypes) =>
      !path.startsWith('controllers/') && !(path === 'agent/model.ts' && onlyTypes),
  },
  {
    name: 'the agent does not know single controllers',
    reason: 'strategies are added to controllers/all.ts alone',
    files: /^agent\//,
    imports: (path) =>
      /^controllers\//.test(path) && !/^controllers\/(controller|params|all)\.ts$/.test(path),
  },
  {
    name: 'product code does not import tests',
    reason: 'what ships must not depend on what only checks it',
    files: /^(agent|controllers|native|policies)\//,
    imports: (path) => path.startsWith('test/'),
  },
  {
    name: 'composition roots alone touch the process',
    reason: 'arguments, environment, signals and exit are decided in one place, or tests cannot set them',
    files: /^(agent|controllers)\//,
    except: ROOTS,
    text: /\bprocess\s*\.|\bglobalThis\b/,
    imports: (path) => /^(node:)?process$/.test(path),
  },
  {
    name: 'composition roots alone load the addon',
    reason: 'all else takes what it needs of it as an argument, so that it runs without native code',
    files: /^(agent|controllers)\//,
    except: /^agent\/(main|cli|(netlink|bpf)\/addon)\.ts$/,
    text: /\bcreateRequire\b|\bload(Addon|Bpf)\(/,
  },
  {
    name: 'time comes in as an argument',
    reason: 'the same input gives the same output only if nobody looks at the clock behind our back',
    files: /^(agent|controllers)\//,
    except: /^agent\/(main|cli|clock|log)\.ts$/,
    text: /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|(?<!\.)\bset(Timeout|Interval|Immediate)\s*\(|\bMath\.random\b/,
    imports: (path) => /^(node:)?(timers|perf_hooks)(\/|$)/.test(path),
  },
];

/** Every import, export-from and import() with a literal path; relative ones as paths from the top. */
function importsOf(file: string, code: string): { path: string; onlyTypes: boolean }[] {
  const found = code.matchAll(
    /^(?:import|export)\s+(?:(type)\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'/gm,
  );
  return [...found].map(([, type, from, dynamic]) => {
    const path = (from ?? dynamic)!;
    return { path: path.startsWith('.') ? join(file, '..', path) : path, onlyTypes: type !== undefined };
  });
}

const sources = ['agent', 'controllers', 'native', 'policies'].filter(existsSync).flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name)),
);

for (const { name, reason, files, except, imports, text } of rules) {
  test(`${name}: ${reason}`, () => {
    const broken = sources
      .filter((file) => files.test(file) && !except?.test(file))
      .flatMap((file) => {
        const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*/g, '');
        const bad = importsOf(file, code).filter(({ path, onlyTypes }) => imports?.(path, onlyTypes));
        const words = text?.exec(code);
        return [
          ...bad.map(({ path }) => `${file} imports ${path}`),
          ...(words ? [`${file} has "${words[0]}"`] : []),
        ];
      });
    assert.deepEqual(broken, []);
  });
}

test('the reader of imports sees each form', () => {
  const code = [
    "import a from './a.ts';",
    "import type { B } from '../b.ts';",
    "import {\n  c,\n} from 'c';",
    "export { d } from './d.ts';",
    "import './e.ts';",
    "const f = await import('./f.ts');",
  ].join('\n');
  assert.deepEqual(
    importsOf('agent/x.ts', code).map(({ path, onlyTypes }) => (onlyTypes ? `type ${path}` : path)),
    ['agent/a.ts', 'type b.ts', 'c', 'agent/d.ts', 'agent/e.ts', 'agent/f.ts'],
  );
});
