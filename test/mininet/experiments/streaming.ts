/** SMAPP section 4.3: blocks with a deadline; the second path is used only while the first one is too slow. */
import type { Experiment } from '../experiment.ts';
import { plainTcp, smappd } from '../managers.ts';
import {
  blockDelays,
  interfaces,
  kernelBackup,
  kernelFullmesh,
  mptcpdSecond,
  network,
  PRIMARY,
  SECOND,
  SERVER,
  secondPathBytes,
} from './two-paths.ts';

const BLOCKS = 40;

export const streaming: Experiment = {
  name: 'streaming',
  goal:
    "p99 of block_delay below kernel-fullmesh's at every loss, all blocks inside 1 s at 10 to 30 %, " +
    'no second_path byte without loss',
  network,
  server: ['sink', '5000'],
  client: (transport) => ['blocks', transport, PRIMARY.address, SERVER, '5000', String(BLOCKS)],
  limit: 180,
  trace: [PRIMARY.device, SECOND.device],
  cases: [0, 10, 20, 30, 40].map((loss) => ({
    name: `loss=${loss}`,
    faults: loss ? [{ at: 1, link: 'primary', loss }] : [],
  })),
  managers: [
    smappd({ interfaces, default: { controller: 'streaming' } }),
    kernelFullmesh,
    kernelBackup,
    mptcpdSecond,
    plainTcp,
  ],
  measure: (run) => [
    ...blockDelays(run, BLOCKS),
    { metric: 'second_path', unit: 'B', values: [secondPathBytes(run, () => true)] },
  ],
};
