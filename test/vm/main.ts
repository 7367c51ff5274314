/**
 * Command form of the VM runner:
 *   node dist/test/vm/main.js --kernel 6.12 [--timeout SECONDS] [--virtual-time] [--memory MIB] [--out DIRECTORY]
 *     [--packages NAME,NAME] -- COMMAND...
 *   node dist/test/vm/main.js --kernel 6.12 --headers     prints the directory to build modules against
 */
import { parseArgs } from 'node:util';
import { headers, KERNELS } from './kernel.ts';
import { runInVm, sayOnStderr } from './run.ts';

const usage =
  'usage: vm --kernel 6.12|6.1 [--timeout SECONDS] [--virtual-time] [--memory MIB] [--out DIRECTORY] ' +
  '[--packages NAME,NAME] (--headers | -- COMMAND...)';

function read() {
  const options = {
    kernel: { type: 'string', default: '6.12' },
    timeout: { type: 'string', default: '300' },
    'virtual-time': { type: 'boolean', default: false },
    memory: { type: 'string', default: '2048' },
    out: { type: 'string' },
    packages: { type: 'string' },
    headers: { type: 'boolean', default: false },
  } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const kernel = KERNELS.find((one) => one === values.kernel);
  const timeout = Number(values.timeout);
  const memory = Number(values.memory);
  if (!kernel) throw new Error(`--kernel ${values.kernel}: there are ${KERNELS.join(' and ')}`);
  if (!(timeout > 0)) throw new Error(`--timeout ${values.timeout}: give seconds`);
  if (!(memory >= 256)) throw new Error(`--memory ${values.memory}: give MiB, at least 256`);
  if (values.headers === positionals.length > 0) throw new Error('give a command, or --headers');
  return { ...values, kernel, timeout, memory, command: positionals };
}

try {
  const asked = read();
  if (asked.headers) {
    process.stdout.write(`${headers(asked.kernel, sayOnStderr)}\n`);
  } else {
    const { status } = await runInVm({
      kernel: asked.kernel,
      command: asked.command,
      timeout: asked.timeout,
      memory: asked.memory,
      virtualTime: asked['virtual-time'],
      ...(asked.out && { out: asked.out }),
      ...(asked.packages && { packages: asked.packages.split(',') }),
      onOutput: (stream, text) => process[stream].write(text),
    });
    process.exitCode = status;
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n${usage}\n`);
  process.exitCode = 125;
}
