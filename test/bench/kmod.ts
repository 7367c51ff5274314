/**
 * The converter's kernel module against its rivals (MiMBox, HotMiddlebox'13, section 4), in a VM: no module can be
 * loaded everywhere. The VM's clock advances by instructions, 2 ns each, on one processor for client, converter and
 * server together. So a figure says how many instructions all of them needed, whatever the host does meanwhile; a copy
 * counts by its bytes (`rep movsb`), which is dearer than on a real processor. Only ratios within one run mean anything.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout } from '../vm/cache.ts';
import { buildModule, gatherPrograms } from '../vm/kmod/build.ts';
import { runInVm } from '../vm/run.ts';
import { benchProgram } from './converter-programs.ts';
import { distribution, type Result, type Row, result } from './results.ts';

const KERNEL = '6.12';
const ROUNDS = Number(process.env['ROUNDS'] ?? 3);

export async function run(progress: (text: string) => void): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'smappd-bench-kmod-'));
  try {
    const programs = join(directory, 'programs');
    mkdirSync(programs);
    gatherPrograms(
      programs,
      ['converter-relay', 'converter-sniff', 'converter-listen'].map((name) => benchProgram(name)),
    );
    const module = join(programs, 'smapp_convert.ko');
    copyFileSync(buildModule(KERNEL, directory), module);
    const guest = join(checkout, 'test/bench/kmod-guest.sh');
    const { stdout } = await runInVm({
      kernel: KERNEL,
      command: ['bash', guest, programs, String(ROUNDS)],
      timeout: 3600,
      virtualTime: true,
      memory: 3072,
      onOutput: (stream, text) => progress(stream === 'stderr' ? text.trimEnd() : shortened(text)),
    });
    const goal = 'the module at or above the C path in every row, and as near to forward as it gets';
    return { ...result('kmod', goal, ...measured(stdout)), kernel: KERNEL };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function shortened(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.slice(0, 100))
    .join('\n');
}

type Of = Pick<Row, 'variant' | 'case' | 'metric' | 'unit'>;

/** Rows, and what else was seen, from the guest's lines: VARIANT CASE METRIC JSON. */
function measured(text: string): [Row[], unknown] {
  const samples = new Map<string, { of: Of; values: number[] }>();
  const add = (of: Of, values: readonly number[]): void => {
    const key = `${of.metric} ${of.case} ${of.variant}`;
    const row = samples.get(key) ?? { of, values: [] };
    row.values.push(...values);
    samples.set(key, row);
  };
  let counters: unknown;
  for (const [, variant, condition, metric, json] of text.matchAll(/^(\S+) (\S+) (\S+) (\{.*\})$/gm)) {
    const of = { variant: variant!, case: condition!, metric: metric! };
    const seen = JSON.parse(json!);
    switch (metric) {
      case 'goodput':
        add({ ...of, unit: 'Mbit/s' }, [seen.mbits]);
        break;
      case 'requests':
        add({ ...of, unit: '1/s' }, [seen.rate]);
        break;
      case 'echo':
        add({ ...of, unit: 'us' }, [seen.echo_us.median]);
        break;
      case 'memory':
        add({ ...of, unit: 'B' }, [seen.bytes]);
        break;
      case 'opening':
        add({ ...of, metric: 'syn_to_syn', unit: 'us' }, seen.syn);
        break;
      case 'data':
        add({ ...of, metric: 'data_delay', unit: 'us' }, [...seen.up, ...seen.down]);
        break;
      case 'counters':
        counters = seen;
        break;
    }
  }
  const rows = [...samples.values()].map(({ of, values }) => distribution(of, values));
  return [rows, { rounds: ROUNDS, 'counters of the client': counters }];
}
