/**
 * The methods of the control socket: one table of name, parameters (JSON Schema), whether it changes
 * anything, and what it does. A `token` is a number, or text as people type it: see `findToken`.
 */
import { Ajv, type ValidateFunction } from 'ajv';
import type { Token } from '../model.ts';
import type { Line } from '../record.ts';
import { type Change, type ConverterView, type Daemon, MAX_FRESH, type Notice } from './daemon.ts';
import { CODE, type Dispatch, RpcError } from './rpc.ts';
import { findToken } from './token.ts';

/** `connections` gives at most so many at once: ask `tokens` first, then for some of them. */
const MAX_CONNECTIONS = 10_000;

export interface Caller {
  /**
   * Begins the one stream that a client may have: `start` is given what sends a notification, and returns
   * what ends the stream. False when the client has one already. Notifications that the client does not
   * read in time are dropped and counted, unless they `must` arrive.
   */
  stream(start: (send: (method: string, params: object, must?: boolean) => void) => () => void): boolean;
  endStream(): void;
}

interface Method {
  readonly name: string;
  readonly doc: string;
  readonly changes: boolean;
  readonly params: Readonly<Record<string, object>>;
  readonly required?: readonly string[];
  run(daemon: Daemon, params: Readonly<Record<string, unknown>>, caller: Caller): unknown;
}

const token = {
  type: ['integer', 'string'],
  description: 'a token: number, 0xHEX, or an unambiguous prefix',
};
const text = { type: 'string', minLength: 1, maxLength: 200 };
const port = { type: 'integer', minimum: 0, maximum: 65535 };
const why = { type: 'string', maxLength: 200 };

const METHODS: readonly Method[] = [
  {
    name: 'status',
    doc: 'the daemon itself: version, policy, counts',
    changes: false,
    params: {},
    run: (daemon) => daemon.status(),
  },
  {
    name: 'tokens',
    doc: 'the tokens of all connections',
    changes: false,
    params: {},
    run: (daemon) => [...daemon.tokens()],
  },
  {
    name: 'connections',
    doc: 'connections with their subflows: all, or those of `tokens` that are still there; read from the kernel now when they are few',
    changes: false,
    params: { tokens: { type: 'array', items: { type: 'integer' }, maxItems: MAX_CONNECTIONS } },
    run(daemon, { tokens }) {
      const wanted = (tokens as number[] | undefined) ?? [...daemon.tokens()];
      if (wanted.length > MAX_CONNECTIONS) {
        const remedy = 'call "tokens", then "connections" with {"tokens":[...]}, a part at a time';
        throw new RpcError(CODE.busy, `${wanted.length} connections are too many for one answer`, remedy);
      }
      const fresh = wanted.length <= MAX_FRESH;
      return wanted.flatMap((one) => daemon.connection(one, fresh) ?? []);
    },
  },
  {
    name: 'show',
    doc: 'one connection, with its subflows read from the kernel now',
    changes: false,
    params: { token },
    required: ['token'],
    run: (daemon, params) => there(daemon.connection(findToken(daemon, params['token']), true)),
  },
  {
    name: 'explain',
    doc: 'why a connection has its controller, and every decision that was taken for it',
    changes: false,
    params: { token },
    required: ['token'],
    run: (daemon, params) => there(daemon.explain(findToken(daemon, params['token']))),
  },
  {
    name: 'subscribe',
    doc: 'from now on sends a "notice" for everything that happens (to `token` alone, if given), and "dropped" with a count when this client read too slowly',
    changes: false,
    params: { token },
    run(daemon, params, caller) {
      const only = params['token'] === undefined ? undefined : findToken(daemon, params['token']);
      const begun = caller.stream((send) =>
        daemon.observe((notice) => {
          if (only === undefined || tokenOf(notice) === only) send('notice', notice);
        }),
      );
      return subscribed(begun);
    },
  },
  {
    name: 'record',
    doc: 'from now on sends a "line" of a recording for everything that goes into and comes out of the agent; first its state, of which nothing is dropped',
    changes: false,
    params: {},
    run(daemon, _params, caller) {
      const begun = caller.stream((send) => {
        const state = new Set<Line['kind']>(['start', 'local', 'connection']);
        return daemon.record((line) => send('line', line, state.has(line.kind)));
      });
      return subscribed(begun);
    },
  },
  {
    name: 'unsubscribe',
    doc: 'ends what "subscribe" or "record" began',
    changes: false,
    params: {},
    run(_daemon, _params, caller) {
      caller.endStream();
      return { subscribed: false };
    },
  },
  {
    name: 'converter-status',
    doc: "the converter's counters and memory",
    changes: false,
    params: {},
    run: (daemon) => converter(daemon).stats(),
  },
  {
    name: 'converter-connections',
    doc: 'connections that pass through the converter, both sides',
    changes: false,
    params: {},
    run: (daemon) => converter(daemon).connections(),
  },
  {
    name: 'open',
    doc: 'opens a subflow',
    changes: true,
    params: { token, from: text, to: text, backup: { type: 'boolean' }, localPort: port, why },
    required: ['token'],
    run: change('open'),
  },
  {
    name: 'close',
    doc: 'closes a subflow; the connection goes on over the others',
    changes: true,
    params: { token, subflow: text, why },
    required: ['token', 'subflow'],
    run: change('close'),
  },
  {
    name: 'backup',
    doc: 'makes a subflow a backup, or a normal one again, on both ends (MP_PRIO)',
    changes: true,
    params: { token, subflow: text, on: { type: 'boolean' }, why },
    required: ['token', 'subflow', 'on'],
    run: change('backup'),
  },
  {
    name: 'announce',
    doc: 'tells the peer of an address of this host (ADD_ADDR)',
    changes: true,
    params: { token, address: text, port, why },
    required: ['token', 'address'],
    run: change('announce'),
  },
  {
    name: 'withdraw',
    doc: 'takes an announced address back (REMOVE_ADDR)',
    changes: true,
    params: { token, address: text, why },
    required: ['token', 'address'],
    run: change('withdraw'),
  },
  {
    name: 'reload',
    doc: 'reads the policy file again; a bad one leaves the running policy in force',
    changes: true,
    params: {},
    run: (daemon) => daemon.reload(),
  },
];

function there<T>(found: T | undefined): T {
  if (found !== undefined) return found;
  throw new RpcError(
    CODE.notFound,
    'the connection has just closed',
    'smappctl connections lists those that live',
  );
}

function converter(daemon: Daemon): ConverterView {
  const found = daemon.converter();
  if (found) return found;
  throw new RpcError(
    CODE.notFound,
    'no converter runs',
    'give the policy a "converter" section, and reload it',
  );
}

function subscribed(begun: boolean): { subscribed: true } {
  if (begun) return { subscribed: true };
  throw new RpcError(CODE.busy, 'already subscribed', 'call "unsubscribe" first, or open another connection');
}

function tokenOf(notice: Notice): Token | undefined {
  if (notice.kind === 'decision') return notice.token;
  return 'token' in notice.event ? notice.event.token : undefined;
}

function change(kind: Change['kind']): Method['run'] {
  return (daemon, { token: wanted, why: reason, ...rest }) => {
    const outcome = daemon.perform(
      findToken(daemon, wanted),
      { kind, ...rest } as Change, // as the row's schema made sure
      (reason as string | undefined) ?? 'asked for by hand',
    );
    if (outcome.ok) return { command: outcome.command };
    if (outcome.reason === 'not-found') {
      const choices =
        outcome.choices.length > 0 ? `choose one of: ${outcome.choices.join(', ')}` : 'there is none';
      throw new RpcError(CODE.notFound, outcome.message, choices, { choices: outcome.choices });
    }
    const { errno, message } = outcome.failure;
    const remedy = "that is the kernel's answer; smappctl explain shows what was tried before";
    throw new RpcError(CODE.refused, message, remedy, { errno });
  };
}

type Checked = ReadonlyMap<string, { readonly method: Method; readonly check: ValidateFunction }>;

/** The table with its parameter checks compiled: once a server. */
export function compileMethods(): Checked {
  const ajv = new Ajv({ allErrors: true, allowUnionTypes: true });
  return new Map(
    METHODS.map((method) => {
      const { params: properties, required = [] } = method;
      const schema = { type: 'object', properties, required, additionalProperties: false };
      return [method.name, { method, check: ajv.compile(schema) }];
    }),
  );
}

/** Looks a method up, checks who asks and with what, and runs it. */
export function dispatcher(
  methods: Checked,
  daemon: Daemon,
  caller: Caller,
  mayChange: () => boolean,
): Dispatch {
  return (name, params) => {
    const row = methods.get(name);
    if (row === undefined) {
      const known = [...methods.keys()].join(', ');
      throw new RpcError(CODE.noSuchMethod, `no method "${name}"`, `methods are: ${known}`);
    }
    const given = params ?? {};
    if (!row.check(given)) {
      const told = row.check.errors
        ?.map((error) => `params${error.instancePath} ${error.message}`)
        .join('; ');
      const takes = Object.keys(row.method.params).join(', ') || 'nothing';
      throw new RpcError(
        CODE.invalidParams,
        told ?? 'bad params',
        `"${name}" takes an object with: ${takes}`,
      );
    }
    if (row.method.changes && !mayChange()) {
      const remedy = 'run it as root, or have your user named in the policy\'s "admin" list';
      throw new RpcError(CODE.forbidden, `"${name}" changes things, and you may only read`, remedy);
    }
    return row.method.run(daemon, given as Readonly<Record<string, unknown>>, caller);
  };
}
