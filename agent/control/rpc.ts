/**
 * JSON-RPC 2.0 (https://www.jsonrpc.org/specification) without a transport: one text in, at most one text
 * out. Batches are answered as the specification asks, within `MAX_BATCH`; what goes wrong is answered with
 * an error whose `data.remedy` says what to do about it.
 */

/** The specification's own codes, then ours (it leaves -32000 to -32099 to servers). */
export const CODE = {
  parse: -32700,
  invalidRequest: -32600,
  noSuchMethod: -32601,
  invalidParams: -32602,
  internal: -32603,
  /** The caller may read, but not change. */
  forbidden: -32001,
  /** No such connection, subflow or address; or more than one that fits. */
  notFound: -32002,
  /** The kernel refused; `data.errno` says why. */
  refused: -32003,
  /** A limit of the control socket itself. */
  busy: -32004,
} as const;

export type Code = (typeof CODE)[keyof typeof CODE];

export const MAX_BATCH = 100;

export class RpcError extends Error {
  readonly code: Code;
  readonly data: Readonly<Record<string, unknown>>;
  constructor(code: Code, message: string, remedy: string, more: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.data = { remedy, ...more };
  }
}

type Id = string | number | null;

/** Runs a method; `params` is undefined, an array or an object. Throws RpcError, or anything else for a defect. */
export type Dispatch = (method: string, params: unknown) => unknown;

/** The answer to one line, or undefined when nothing is to be answered (notifications). */
export async function answer(line: string, dispatch: Dispatch): Promise<string | undefined> {
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch (error) {
    const remedy = 'send one JSON object a line, in UTF-8, without line breaks in it';
    return failure(null, new RpcError(CODE.parse, `not JSON: ${(error as Error).message}`, remedy));
  }
  if (!Array.isArray(message)) return await one(message, dispatch);
  if (message.length === 0 || message.length > MAX_BATCH) {
    const remedy = `send 1 to ${MAX_BATCH} requests in a batch`;
    return failure(null, new RpcError(CODE.invalidRequest, `a batch of ${message.length} requests`, remedy));
  }
  const answers: string[] = [];
  for (const request of message) {
    const text = await one(request, dispatch);
    if (text !== undefined) answers.push(text);
  }
  return answers.length > 0 ? `[${answers.join(',')}]` : undefined;
}

async function one(message: unknown, dispatch: Dispatch): Promise<string | undefined> {
  const request = (typeof message === 'object' && message !== null ? message : {}) as Record<string, unknown>;
  const wanted = request['id'];
  const id: Id = typeof wanted === 'string' || typeof wanted === 'number' ? wanted : null;
  const { method, params } = request;
  const wellFormed =
    request['jsonrpc'] === '2.0' &&
    typeof method === 'string' &&
    (params === undefined || (typeof params === 'object' && params !== null)) &&
    (id !== null || wanted === undefined || wanted === null);
  if (!wellFormed) {
    const remedy = 'send {"jsonrpc":"2.0","id":1,"method":"status"}, with "params" if the method takes any';
    return failure(id, new RpcError(CODE.invalidRequest, 'not a JSON-RPC 2.0 request', remedy));
  }
  try {
    const result = await dispatch(method, params);
    if (!('id' in request)) return undefined;
    return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${JSON.stringify(result ?? null)}}`;
  } catch (error) {
    if (!('id' in request)) return undefined;
    if (error instanceof RpcError) return failure(id, error);
    const message = error instanceof Error ? error.message : String(error);
    return failure(
      id,
      new RpcError(CODE.internal, message, "this is a defect of smappd: see the daemon's log"),
    );
  }
}

export function failure(id: Id, { code, message, data }: RpcError): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, data } });
}

export function notification(method: string, params: unknown): string {
  return `{"jsonrpc":"2.0","method":"${method}","params":${JSON.stringify(params)}}`;
}
