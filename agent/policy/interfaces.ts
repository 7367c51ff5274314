/** The policy's `interfaces`: which of the host's interfaces subflows may use, and how. */
import { choice, flag, type Param, type ParamsOf } from '../../controllers/params.ts';
import { glob } from './glob.ts';
import { group } from './kinds.ts';

const options = {
  role: choice(
    ['primary', 'backup', 'ignore'],
    'primary',
    '`primary` is used from the start, `backup` when a controller says so, `ignore` never',
  ),
  metered: flag(false, 'data over it costs money or is limited: controllers may avoid it'),
};

export type InterfaceUse = ParamsOf<typeof options>;

export interface InterfaceRule extends InterfaceUse {
  /** An interface's name, or a pattern with `*`. */
  readonly name: string;
}

const one = group(options, 'How one interface is used');

/** Undefined when left out, which is not the same as an empty list. */
export const interfaces: Param<readonly InterfaceRule[] | undefined> = {
  fallback: undefined,
  doc:
    'The interfaces that subflows may use, by name or by pattern (`"wlan*"`). It is an allowlist: an interface ' +
    'that no entry names is ignored. An exact name goes before patterns, patterns in the order of the file. ' +
    'Without this section every interface with a default route is used, as primary.',
  schema: {
    type: 'object',
    propertyNames: { pattern: '^[^\\s/]{1,15}$', examples: ['wlan0'] },
    additionalProperties: one.schema,
  },
  parse: (written) => Object.entries(written as object).map(([name, use]) => ({ name, ...one.parse(use) })),
};

const IGNORED: InterfaceUse = { role: 'ignore', metered: false };
const USED: InterfaceUse = { role: 'primary', metered: false };

/** How the policy wants the interface of this name used; `named` is false when it says nothing of interfaces. */
export function interfaceUse(
  rules: readonly InterfaceRule[] | undefined,
  ifname: string,
): InterfaceUse & { readonly named: boolean } {
  if (!rules) return { ...(ifname === 'lo' ? IGNORED : USED), named: false };
  const rule = rules.find(({ name }) => name === ifname) ?? rules.find(({ name }) => glob(name)(ifname));
  return { ...(rule ?? IGNORED), named: true };
}
