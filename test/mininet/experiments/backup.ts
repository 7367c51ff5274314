/** SMAPP section 4.2: a backup path that costs money stays silent until the primary path really fails. */
import type { Experiment, Measured, Observed } from '../experiment.ts';
import { plainTcp, smappd } from '../managers.ts';
import {
  blockDelays,
  interfaces,
  kernelBackup,
  kernelFullmesh,
  mptcpdBackup,
  network,
  PRIMARY,
  SECOND,
  SERVER,
  secondPathBytes,
} from './two-paths.ts';

const BLOCKS = 40;
const LOSS_FROM = 1;
const LOSS_UNTIL = 15;

/** From the end of the loss to the last data on the backup path; a run that still uses it at its end is missing. */
function backOnPrimary(run: Observed): Measured {
  const data = run.segments.filter(({ length }) => length > 0);
  const last = data.findLast((segment) => segment.interface === SECOND.device)?.at ?? LOSS_UNTIL;
  const returned =
    run.finished && data.some((segment) => segment.interface === PRIMARY.device && segment.at > last);
  return {
    metric: 'return',
    unit: 's',
    values: returned ? [Math.max(0, last - LOSS_UNTIL)] : [],
    missing: returned ? 0 : 1,
  };
}

export const backup: Experiment = {
  name: 'backup',
  goal:
    'median of mean_block_delay at most 0.25 s, worst under 1 s, every run complete, no early_backup byte; ' +
    'back on the primary path within 5 s of its recovery',
  network,
  server: ['sink', '5000'],
  client: (transport) => ['blocks', transport, PRIMARY.address, SERVER, '5000', String(BLOCKS)],
  limit: 180,
  trace: [PRIMARY.device, SECOND.device],
  tracedCase: 'loss=30',
  cases: [
    { name: 'loss=30', faults: [{ at: LOSS_FROM, link: 'primary', loss: 30 }] },
    {
      name: 'recovery',
      faults: [
        { at: LOSS_FROM, link: 'primary', loss: 30 },
        { at: LOSS_UNTIL, link: 'primary', loss: 0 },
      ],
    },
  ],
  managers: [
    // A probe whose SYN is lost is to give way to the next one, not to wait for the kernel's second try.
    smappd({ interfaces, openDeadline: '1s', default: { controller: 'backup' } }),
    kernelFullmesh,
    kernelBackup,
    mptcpdBackup,
    plainTcp,
  ],
  measure: (run, under) => [
    ...blockDelays(run, BLOCKS),
    { metric: 'early_backup', unit: 'B', values: [secondPathBytes(run, (at) => at < LOSS_FROM)] },
    { metric: 'backup_bytes', unit: 'B', values: [secondPathBytes(run, () => true)] },
    ...(under === 'recovery' ? [backOnPrimary(run)] : []),
  ],
};
