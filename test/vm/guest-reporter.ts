/** A reporter of `node --test` for tests that run in a guest: one line of JSON a test, for the host to repeat. */
import { basename } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

export interface GuestTest {
  readonly file: string;
  readonly name: string;
  readonly skipped?: string | true;
  readonly failure?: string;
}

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const { name, skip } = data;
    const { cause, message } = (type === 'test:fail' ? data.details.error : {}) as Partial<Error>;
    const one: GuestTest = {
      file: basename(process.argv[1] ?? '', '.js'),
      name,
      ...(skip && { skipped: skip }),
      ...(type === 'test:fail' && {
        failure: cause instanceof Error ? (cause.stack ?? cause.message) : String(message),
      }),
    };
    yield `${JSON.stringify(one)}\n`;
  }
}
