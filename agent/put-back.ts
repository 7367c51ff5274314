/** Puts the host back as it was before a daemon that ended without doing so: it was killed, or told to leave it. */
import { dirname, join } from 'node:path';
import type { Clock } from './clock.ts';
import { refuseIfServed } from './control/server.ts';
import { Converter } from './converter/converter.ts';
import { machine } from './converter/machine.ts';
import { Journal } from './host/journal.ts';
import { HostPaths, type HostSettings } from './host/paths.ts';
import { RtnetlinkHost } from './host/rtnetlink.ts';
import type { Notes } from './log.ts';
import type { Addon } from './netlink/addon.ts';

interface Outside {
  readonly addon: typeof Addon;
  readonly clock: Clock;
  readonly log: Notes;
}

const NO_PATHS: HostSettings = {
  addresses: {
    interfaceRule: () => ({ role: 'ignore', metered: false, named: false }),
    linkLocal: false,
    temporary: false,
    ignored: () => true,
  },
  sourceRouting: false,
};

/** @throws Error when a daemon runs that is served at `controlPath` */
export async function putBack(controlPath: string, { addon, clock, log }: Outside): Promise<void> {
  await refuseIfServed(controlPath, addon.peerCredentials);
  const folder = dirname(controlPath);
  const journal = new Journal(join(folder, 'host.json'), log);
  new HostPaths({ kernel: new RtnetlinkHost(addon), journal, clock, log }, NO_PATHS, () => {}).stop();
  journal.setSysctls({});
  await new Converter({ machine: machine(), clock, log, program: '', folder }).stop();
}
