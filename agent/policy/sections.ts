/** The policy file as one table: each section gives its parsing, its JSON Schema and its documentation. */
import { bytes, duration, flag, type ParamsOf } from '../../controllers/params.ts';
import { converterSection } from '../converter/section.ts';
import { appsSection, type Controllers, defaultSection } from './apps-section.ts';
import { cidr } from './formats.ts';
import { interfaces } from './interfaces.ts';
import { group, list, propertiesOf, type Schema } from './kinds.ts';

const ignore = {
  linkLocal: flag(true, 'link-local addresses (169.254.0.0/16, fe80::/10)'),
  temporary: flag(true, 'temporary IPv6 addresses (RFC 8981), which go away in the middle of a connection'),
  addresses: list(cidr, 'addresses and networks besides'),
};

/** The sections of a policy in which these controllers may be named. A new section is one line here. */
export function sectionsFor(controllers: Controllers) {
  return {
    interfaces,
    apps: appsSection(controllers),
    default: defaultSection(controllers),
    routing: flag(
      true,
      'Give each source address a routing table and rule of its own where the host has none, so that a subflow ' +
        'leaves by its own interface. What was made is taken away at exit.',
    ),
    ignore: group(ignore, 'Local addresses that subflows never start from.'),
    openDeadline: duration('5s', 'How long a new subflow may take before it is given up.'),
    sampleEvery: duration('100ms', 'How often subflows are read for controllers that watch their progress.'),
    converter: converterSection,
    eventBuffer: bytes(
      '16MiB',
      'Room for events that the kernel has sent and smappd has not read yet: 832 bytes each. Where it does not ' +
        'suffice nothing is lost for good, but the whole state is read again. Takes effect at the next start.',
    ),
    admin: list(
      { schema: { type: 'string', minLength: 1, examples: ['alice'] }, parse: String },
      'Users who may change things through the control socket, besides root.',
    ),
  };
}

/** A checked policy: every value there, parsed; times in milliseconds. */
export type Policy = ParamsOf<ReturnType<typeof sectionsFor>>;

/** JSON Schema (draft 7) of a whole policy file. */
export function policySchema(controllers: Controllers): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'smappd policy',
    type: 'object',
    properties: { $schema: { type: 'string' }, ...propertiesOf(sectionsFor(controllers)) },
    additionalProperties: false,
  };
}

/** Takes a value that `policySchema` accepted. */
export function parseSections(written: unknown, controllers: Controllers): Policy {
  return group(sectionsFor(controllers), '').parse(written);
}
