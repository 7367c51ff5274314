/** JSON-RPC 2.0 as its specification has it (section 7, examples), and against whatever else may come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { lineReader } from '../../agent/control/lines.ts';
import { answer, CODE, RpcError } from '../../agent/control/rpc.ts';

const dispatch = (method: string, params: unknown): unknown => {
  switch (method) {
    case 'subtract':
      return Array.isArray(params) ? params[0] - params[1] : 0;
    case 'broken':
      throw new Error('a defect');
    case 'refused':
      throw new RpcError(CODE.refused, 'no', 'ask again', { errno: 1 });
    default:
      throw new RpcError(CODE.noSuchMethod, `no method "${method}"`, 'try another');
  }
};
const ask = async (line: string) => {
  const text = await answer(line, dispatch);
  return text === undefined ? undefined : JSON.parse(text);
};
/** What the specification's examples have of an answer: error texts are ours. */
const outline = (reply: Record<string, unknown>) => {
  const { error, ...rest } = reply as { error?: { code: number } };
  return error ? { ...rest, code: error.code } : rest;
};

for (const [name, line, wanted] of [
  ['a call', '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}', { id: 1, result: 19 }],
  ['no such method', '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', { id: '1', code: -32601 }],
  ['broken JSON', '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', { id: null, code: -32700 }],
  ['method is no text', '{"jsonrpc": "2.0", "method": 1, "params": "bar"}', { id: null, code: -32600 }],
  [
    'params are no structure',
    '{"jsonrpc": "2.0", "method": "subtract", "params": "bar", "id": 2}',
    { id: 2, code: -32600 },
  ],
  ['another version', '{"jsonrpc": "1.0", "method": "subtract", "id": 3}', { id: 3, code: -32600 }],
  [
    'an id that may not be one',
    '{"jsonrpc": "2.0", "method": "subtract", "id": {}}',
    { id: null, code: -32600 },
  ],
  ['an empty batch', '[]', { id: null, code: -32600 }],
  ['a number', '7', { id: null, code: -32600 }],
  ['null', 'null', { id: null, code: -32600 }],
  ['a defect', '{"jsonrpc": "2.0", "method": "broken", "id": 4}', { id: 4, code: -32603 }],
] as const) {
  test(`${name} is answered`, async () => {
    assert.deepEqual(outline(await ask(line)), { jsonrpc: '2.0', ...wanted });
  });
}

test('errors say what to do, and carry what the method adds', async () => {
  const { error } = await ask('{"jsonrpc": "2.0", "method": "refused", "id": 1}');
  assert.deepEqual(error, { code: -32003, message: 'no', data: { remedy: 'ask again', errno: 1 } });
});

test('notifications are not answered, whatever comes of them', async () => {
  for (const method of ['subtract', 'broken', 'foobar']) {
    assert.equal(await ask(`{"jsonrpc": "2.0", "method": "${method}"}`), undefined);
  }
});

test('a batch: an answer for each request, none for notifications, errors for what is neither', async () => {
  const answers = await ask(
    '[{"jsonrpc":"2.0","method":"subtract","params":[2,1],"id":"1"}, {"jsonrpc":"2.0","method":"subtract"}, 1, {"foo":"boo"}]',
  );
  assert.deepEqual(answers.map(outline), [
    { jsonrpc: '2.0', id: '1', result: 1 },
    { jsonrpc: '2.0', id: null, code: -32600 },
    { jsonrpc: '2.0', id: null, code: -32600 },
  ]);
  assert.equal(await ask('[{"jsonrpc":"2.0","method":"subtract"}]'), undefined);
  assert.equal((await ask(`[${'1,'.repeat(200)}1]`)).error.code, -32600);
});

test('any JSON, and any text, gets an answer of the protocol or none', async () => {
  const check = async (line: string): Promise<void> => {
    const reply = await ask(line);
    for (const one of Array.isArray(reply) ? reply : reply ? [reply] : []) {
      assert.equal(one.jsonrpc, '2.0');
      assert.ok('result' in one !== 'error' in one);
      assert.ok(!one.error || typeof one.error.data.remedy === 'string');
    }
  };
  await fc.assert(fc.asyncProperty(fc.json(), check));
  await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary' }), check));
  const request = fc.record(
    {
      jsonrpc: fc.oneof(fc.constant('2.0'), fc.jsonValue()),
      method: fc.oneof(fc.constantFrom('subtract', 'broken'), fc.jsonValue()),
      params: fc.jsonValue(),
      id: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(fc.oneof(request, fc.array(request)), (value) => check(JSON.stringify(value))),
  );
});

test('lines come out whole however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-zäß€0-9]{1,20}$/)), fc.array(fc.nat(30)), (texts, cuts) => {
      const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(''));
      const seen: string[] = [];
      const read = lineReader(100, (line) => seen.push(line), assert.fail);
      let at = 0;
      for (const cut of cuts) {
        read(bytes.subarray(at, at + cut));
        at += cut;
      }
      read(bytes.subarray(at));
      assert.deepEqual(seen, texts);
    }),
  );
});

test('a line without end is given up at its limit, and nothing after it is read', () => {
  let given = 0;
  const read = lineReader(10, assert.fail, () => {
    given += 1;
  });
  for (let chunk = 0; chunk < 100; chunk++) read(Buffer.from('abc'));
  read(Buffer.from('\nabc\n'));
  assert.equal(given, 1);
});
