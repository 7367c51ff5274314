/** A JSON text in which everything can be pointed at: strict JSON in, and line and column of any JSON pointer out. */
import { getNodeValue, type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';

/** Something wrong at one place. Lines and columns count from 1. */
export interface Problem {
  readonly line: number;
  readonly column: number;
  /** RFC 6901, but `/` for the whole document. */
  readonly pointer: string;
  readonly message: string;
}

export class Document {
  /** Undefined when the text is no JSON; then `problems` says why. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  readonly #text: string;
  readonly #root: Node | undefined;

  constructor(text: string) {
    const errors: ParseError[] = [];
    this.#text = text;
    this.#root = parseTree(text, errors, { disallowComments: true });
    if (errors[0] || !this.#root) {
      // What a parser says after its first error follows from that error.
      const { error, offset, length } = errors[0] ?? { error: 4, offset: 0, length: 0 };
      const found = text.slice(offset, offset + length);
      const message = SYNTAX[printParseErrorCode(error)]?.(found, text.slice(0, offset)) ?? 'not JSON';
      this.problems = [{ ...this.#position(offset), pointer: '/', message }];
    } else {
      this.problems = this.#duplicates(this.#root, '');
      this.value = getNodeValue(this.#root);
    }
  }

  /** A problem with the value at a pointer, or with the key that leads to it. */
  problem(pointer: string, message: string, at: 'value' | 'key' = 'value'): Problem {
    let node = this.#root;
    for (const segment of pointer.split('/').slice(1)) {
      node = child(node, segment.replaceAll('~1', '/').replaceAll('~0', '~')) ?? node;
    }
    if (at === 'key' && node?.parent?.type === 'property') node = node.parent;
    return { ...this.#position(node?.offset ?? 0), pointer: pointer || '/', message };
  }

  #position(offset: number): { line: number; column: number } {
    const before = this.#text.slice(0, offset).split('\n');
    return { line: before.length, column: before.at(-1)!.length + 1 };
  }

  /** JSON lets a key stand twice, and parsers drop the first without a word. */
  #duplicates(node: Node, pointer: string): Problem[] {
    const seen = new Set<unknown>();
    return (node.children ?? []).flatMap((entry, index) => {
      if (node.type !== 'object') return this.#duplicates(entry, `${pointer}/${index}`);
      const [key, value] = entry.children ?? [];
      if (!key || !value) return [];
      const here = pointerTo(pointer, String(key.value));
      const again = seen.has(key.value);
      seen.add(key.value);
      const message = `the key \`${key.value}\` stands here a second time: delete one of the two`;
      return [
        ...(again ? [{ ...this.#position(key.offset), pointer: here, message }] : []),
        ...this.#duplicates(value, here),
      ];
    });
  }
}

export function pointerTo(parent: string, key: string): string {
  return `${parent}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

function child(node: Node | undefined, key: string): Node | undefined {
  if (node?.type === 'array') return node.children?.[Number(key)];
  return node?.children?.find(({ children }) => children?.[0]?.value === key)?.children?.[1];
}

const afterComma = (before: string): boolean => /,\s*$/.test(before);

const SYNTAX: Partial<Record<string, (found: string, before: string) => string>> = {
  InvalidSymbol: (found) =>
    `\`${found}\` is not JSON: texts stand in double quotes, words are true, false and null`,
  InvalidNumberFormat: (found) => `\`${found}\` is not a number in JSON`,
  PropertyNameExpected: (_, before) =>
    afterComma(before)
      ? 'no key after this comma: delete the comma'
      : 'a key in double quotes is missing here',
  ValueExpected: (_, before) =>
    afterComma(before) ? 'no value after this comma: delete the comma' : 'a value is missing here',
  ColonExpected: () => 'a colon is missing between key and value',
  CommaExpected: () => 'a comma is missing before this',
  CloseBraceExpected: () => 'the file ends before a `}`: an object is not closed',
  CloseBracketExpected: () => 'the file ends before a `]`: a list is not closed',
  EndOfFileExpected: () => 'the policy has ended before this: delete the rest',
  InvalidCommentToken: () => 'comments are not part of JSON: delete it',
  UnexpectedEndOfComment: () => 'comments are not part of JSON: delete it',
  UnexpectedEndOfString: () => 'this text is not closed: its `"` is missing on the same line',
  InvalidUnicode: () => 'after `\\u`, four hexadecimal digits are needed',
  InvalidEscapeCharacter: () => 'no such escape in JSON: write a backslash itself as `\\\\`',
  InvalidCharacter: () => 'a control character in a text: write it as an escape, such as `\\n`',
};
