/** The daemon's command line. */
import { parseArgs } from 'node:util';
import { DEFAULT_PATH } from './control/daemon.ts';

export const HELP = `smappd decides over which paths the Multipath TCP connections of this host run.

  smappd [options]

  --policy FILE     the policy (default /etc/smappd/policy.json; where there is none, one that comes with smappd)
  --check [FILE]    check the policy, print what is wrong as FILE:LINE:COLUMN: POINTER: message, and end
  --control PATH    the control socket (default ${DEFAULT_PATH}); what must be put back on the host
                    is written down beside it, in host.json
  --leave-host      leave routing and sysctls of the host as they are at the end, for the next start
  --put-back        put the host back as it was before, and end: for after a crash, or --leave-host
  --log LEVEL       trace, debug, info (default), warn or error; JSON lines on standard error
  --live, --no-live show a view of connections and decisions (default on a terminal)
  --help, --version

Signals: SIGHUP reads the policy again; SIGTERM and SIGINT end the daemon and put the host back as it was.
No connection is lost either way. To look into it while it runs: smappctl --help`;

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'];

export interface Options {
  /** Undefined where none was named: the usual file, or the one that comes with smappd. */
  readonly policy: string | undefined;
  readonly control: string;
  readonly log: string;
  readonly live: boolean | undefined;
  readonly leaveHost: boolean;
  readonly mode: 'run' | 'check' | 'put-back' | 'help' | 'version';
}

/** Throws an Error with a message for the user. */
export function parseOptions(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowNegative: true,
    allowPositionals: true,
    options: {
      policy: { type: 'string' },
      control: { type: 'string' },
      log: { type: 'string' },
      live: { type: 'boolean' },
      check: { type: 'boolean' },
      'leave-host': { type: 'boolean', default: false },
      'put-back': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
  });
  const { live, check, help, version } = values;
  const [named, ...others] = positionals;
  if (others.length > 0 || (named !== undefined && !check)) {
    throw new Error(`${positionals.at(-1)}: no such argument; a policy is named by --policy FILE`);
  }
  const policy = named ?? values.policy;
  const { control = DEFAULT_PATH, log = 'info', 'leave-host': leaveHost, 'put-back': putBack } = values;
  if (!LEVELS.includes(log)) throw new Error(`--log ${log}: one of ${LEVELS.join(', ')} is wanted`);
  const mode = help ? 'help' : version ? 'version' : check ? 'check' : putBack ? 'put-back' : 'run';
  return { policy, control, log, live, leaveHost, mode };
}
