/** All commands of smappctl, in the order in which the help lists them. A new one is one file and one line here. */
import { announce, backup, close, open, withdraw } from './changes.ts';
import type { CommandLine } from './command.ts';
import { connections, show } from './connections.ts';
import { converterConnections, converterStatus, converterTop } from './converter.ts';
import { converterKernelInstall, converterKernelRemove } from './converter-kernel.ts';
import { doctor } from './doctor.ts';
import { events } from './events.ts';
import { explain } from './explain.ts';
import { install, uninstall } from './install.ts';
import { record, replay } from './recording.ts';
import { run } from './run.ts';
import { reload, status } from './status.ts';
import { top } from './top.ts';

export const commands: readonly CommandLine[] = [
  status,
  connections,
  show,
  explain,
  events,
  top,
  open,
  close,
  backup,
  announce,
  withdraw,
  reload,
  doctor,
  record,
  replay,
  run,
  converterStatus,
  converterConnections,
  converterTop,
  converterKernelInstall,
  converterKernelRemove,
  install,
  uninstall,
];
