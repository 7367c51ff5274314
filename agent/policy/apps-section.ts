/** The policy's `apps` and `default`: which connections are whose, and the controller that each gets. */
import type { Controller } from '../../controllers/controller.ts';
import { flag, type Param } from '../../controllers/params.ts';
import type { Side } from '../model.ts';
import { cidr, ports } from './formats.ts';
import { group, list, oneOrMany, propertiesOf, type Schema, text } from './kinds.ts';

const name = (example: string) => ({
  schema: { type: 'string', minLength: 1, examples: [example] },
  parse: String,
});
const path = (example: string) => ({
  schema: { type: 'string', pattern: '^[/*]', examples: [example] },
  parse: String,
});

/** In the order in which they are looked at: what costs nothing first, what needs /proc last. */
export const matchKeys = {
  side: {
    fallback: undefined,
    doc: 'which side of the connection this host is',
    schema: { enum: ['client', 'server'] },
    parse: (written) => written as Side,
  },
  localPort: oneOrMany(
    ports,
    'port of the connection on this host: a number, or a range such as "8000-8999"',
  ),
  remotePort: oneOrMany(ports, "the peer's port, in the same way"),
  localAddress: oneOrMany(
    cidr,
    'address of the connection on this host: a network (CIDR) or an address, IPv4 or IPv6',
  ),
  remoteAddress: oneOrMany(cidr, "the peer's address, in the same way"),
  user: oneOrMany(name('backup'), "owner of the application's socket: a name or a number, `*` as wildcard"),
  cgroup: oneOrMany(
    path('/user.slice'),
    'control group (cgroup v2) of the socket, or one above it; a path below the mount point, `*` as wildcard',
  ),
  unit: oneOrMany(
    name('player.service'),
    'systemd unit of the socket: a service, scope or slice, also of the user manager, or one above it; `*` as wildcard',
  ),
  exe: oneOrMany(path('/usr/bin/ssh'), 'path of the program that owns the socket, `*` as wildcard'),
} as const satisfies Record<string, Param<unknown>>;

/** Keys that were left out are undefined; those that are there must all hold. */
export type Match = {
  readonly [K in keyof typeof matchKeys]: ReturnType<(typeof matchKeys)[K]['parse']> | undefined;
};

/** A controller and its parameters, all of them, parsed. */
export interface ControllerUse {
  readonly controller: Controller;
  readonly params: Readonly<Record<string, unknown>>;
}

export interface AppRule extends ControllerUse {
  readonly name: string;
  readonly match: Match;
  /** Turn this application's TCP sockets into MPTCP sockets. */
  readonly mptcp: boolean;
  /** `HOST:PORT` of the converter that its connections go through. */
  readonly via: string | undefined;
}

export type Controllers = ReadonlyMap<string, Controller>;

/** Absolute, so that it means the same wherever the daemon was started. */
export const MODULE_PATH = '^/.+\\.m?js$';

const appKeys = {
  mptcp: flag(
    false,
    'turn its TCP sockets into MPTCP sockets as it makes them, so that it must be matched by what is known then: ' +
      'unit, cgroup, user, exe, without wildcards; where the kernel does not allow it, `smappctl run` is the other way',
  ),
  via: text('`HOST:PORT` of a converter through which its connections go', {
    pattern: '^(\\[[0-9a-fA-F:.]+\\]|[^\\s\\[\\]:]+):\\d{1,5}$',
    examples: ['converter.example:5124'],
  }),
} satisfies Record<string, Param<unknown>>;

/** The kind of `apps`, for the controllers that a policy may name. */
export function appsSection(controllers: Controllers): Param<readonly AppRule[]> {
  const match = group(
    matchKeys,
    'What a connection must have to be this application: every key given must hold',
  );
  const extra = group(appKeys, '');
  const use = useOf(controllers);
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 1, description: 'what logs and `smappctl` call it; unique' },
      match: { ...match.schema, minProperties: 1, description: match.doc },
      ...(use.schema['properties'] as Schema),
      ...propertiesOf(appKeys),
    },
    required: ['name', 'match', 'controller'],
    additionalProperties: false,
    allOf: use.schema['allOf'],
  };
  const parse = (written: unknown): AppRule => {
    const given = written as { name: string; match: object };
    return {
      name: given.name,
      match: match.parse(given.match),
      ...use.parse(written),
      ...extra.parse(written),
    };
  };
  return list({ schema, parse }, 'Applications. The first one that matches a connection has it.');
}

/** The kind of `default`. */
export function defaultSection(controllers: Controllers): Param<ControllerUse> {
  return useOf(controllers);
}

/** The controller of connections that no application has, when the policy names none. */
const FALLBACK = 'fullmesh';

function useOf(controllers: Controllers): Param<ControllerUse> {
  const builtIn = [...controllers.keys()].filter((key) => !key.startsWith('/')).sort();
  const parse = (written: unknown): ControllerUse => {
    const given = written as { controller: string; params?: object };
    const controller = controllers.get(given.controller)!;
    return { controller, params: group(controller.params, '').parse(given.params ?? {}) };
  };
  const fallback = parse({ controller: FALLBACK });
  const schema = {
    type: 'object',
    properties: {
      controller: {
        type: 'string',
        anyOf: [{ enum: builtIn }, { pattern: MODULE_PATH }],
        description: "a controller's name, or the absolute path of a JavaScript module that exports one",
      },
      params: { type: 'object', description: "the controller's parameters" },
    },
    required: ['controller'],
    additionalProperties: false,
    allOf: [...controllers].map(([key, { params, summary }]) => ({
      if: { properties: { controller: { const: key } }, required: ['controller'] },
      // biome-ignore lint/suspicious/noThenProperty: JSON Schema's keyword, and nobody awaits a schema
      then: { properties: { params: group(params, '').schema } },
      $comment: summary,
    })),
  };
  const doc = `The controller of every connection that no app has; without it, \`${FALLBACK}\`.`;
  return { fallback, doc, schema, parse };
}
