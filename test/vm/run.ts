/**
 * Runs one command in a virtual machine with a Debian kernel, over the host's own root: everything that is
 * installed or built here can be used there, and nothing that happens there changes the host. Works by
 * emulation (no KVM), so it boots in 3 to 4 s and plain computation is slow.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { cached } from './cache.ts';
import { type KernelVersion, kernel } from './kernel.ts';
import { type Say, unpackWithDependencies } from './packages.ts';

/** One emulated boot in hundreds ends in a panic of the kernel's own: it is tried as often as this. */
const BOOTS = 3;
/** What guest-init.sh says when all is there. */
const BOOTED = 'guest: booted';
class BootFailure extends Error {}

/** Milliseconds for a guest out of time to say what its processors do. */
const LAST_WORDS = 5_000;

/** How much slower than usual the guests are (debug-kernel.sh). */
const PATIENCE = Number(process.env['SMAPPD_VM_PATIENCE'] ?? 1);

export interface VmJob {
  readonly kernel: KernelVersion;
  /** Program and arguments, looked up in the guest's plain Debian PATH. */
  readonly command: readonly string[];
  /** Seconds of real time for everything, boot included. */
  readonly timeout: number;
  /** Working directory, the caller's by default. */
  readonly cwd?: string;
  /** Directory that host and guest share, writable, at the same path in both; made when missing. */
  readonly out?: string;
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Let the guest's clock advance by instructions (`instruction` each) and leap over idle time, on one processor:
   * independent of the host's load, and waiting costs nothing. Keep what the job reads in RAM: the clock
   * also leaps while the guest waits for its files.
   */
  readonly virtualTime?: boolean;
  /** Nanoseconds of virtual time, 2 by default; with 1 most takes twice as long here. */
  readonly instruction?: 1 | 2;
  /** Debian packages that only the guest sees; they are not installed on the host. */
  readonly packages?: readonly string[];
  /** MiB, 2048 by default. */
  readonly memory?: number;
  /** 2 by default; always 1 in virtual time. */
  readonly processors?: number;
  /** Given every piece of output as it comes. */
  readonly onOutput?: (stream: 'stdout' | 'stderr', text: string) => void;
  /** Given a line for everything that takes long (downloads); stderr by default. */
  readonly say?: Say;
}

export interface VmResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Ends with the command's status; throws when the guest does not boot, dies, or is not done within `timeout`. */
export async function runInVm(job: VmJob): Promise<VmResult> {
  if (process.getuid?.() !== 0)
    throw new Error('the VM runner shares the whole root with its guest: run it as root');
  const directory = mkdtempSync(join(tmpdir(), 'smappd-vm-'));
  try {
    writeFileSync(join(directory, 'command'), script(job));
    if (job.out) mkdirSync(job.out, { recursive: true });
    for (let again = BOOTS - 1; ; again--) {
      const ended = await boot(job, directory);
      if (!(ended instanceof Error)) return ended;
      if (!(ended instanceof BootFailure) || again === 0) throw ended;
      (job.say ?? sayOnStderr)(`booting once more: ${ended.message}`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The unpacked form of `VmJob.packages`, for building against them on the host. */
export function guestPackages(names: readonly string[], say: Say = sayOnStderr): string {
  const list = [...names].sort().join(' ');
  const entry = `packages-${list.replaceAll(' ', '_')}`;
  const into = cached(entry, `1 ${list}`, ['root'], (made) =>
    unpackWithDependencies(names, join(made, 'root'), say),
  );
  return join(into, 'root');
}

export function sayOnStderr(message: string): void {
  process.stderr.write(`vm: ${message}\n`);
}

function script(job: VmJob): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const env = { SMAPPD_VM_PATIENCE: String(PATIENCE), ...job.env };
  const exports = Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}`);
  return [
    ...exports,
    `cd ${quote(resolve(job.cwd ?? '.'))} || exit 126`,
    `exec ${job.command.map(quote).join(' ')}`,
    '',
  ].join('\n');
}

function qemuArguments(job: VmJob, directory: string): string[] {
  const say = job.say ?? sayOnStderr;
  const { image, initrd, directory: kernelDirectory } = kernel(job.kernel, say);
  const share = (tag: string, path: string, access = ',readonly=on') => [
    '-virtfs',
    `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap${access}`,
  ];
  const port = (name: string, fd: number) => [
    ...['-chardev', `socket,id=${name},fd=${fd}`],
    ...['-device', `virtserialport,chardev=${name},name=${name}`],
  ];
  const virtual = job.virtualTime ?? false;
  const append = [
    'console=ttyS0',
    'panic=-1',
    'no_timer_check', // a busy host is late with the timer's first ticks, which the kernel takes for broken hardware
    'loglevel=4',
    'mitigations=off',
    'nokaslr',
    'tsc=reliable',
    'random.trust_cpu=on',
    'audit=0',
    // Asked by an NMI, a guest that is out of time says what its processors do (0x40: all of them).
    'unknown_nmi_panic',
    'panic_print=0x40',
  ];
  if (job.out) append.push(`vm.out=${resolve(job.out)}`);
  return [
    ...[
      '-M',
      'q35',
      '-cpu',
      'max',
      '-m',
      String(job.memory ?? 2048),
      '-nodefaults',
      '-no-reboot',
      '-display',
      'none',
    ],
    ...['-accel', `tcg,tb-size=512,thread=${virtual ? 'single' : 'multi'}`],
    ...['-smp', String(virtual ? 1 : (job.processors ?? 2))],
    ...(virtual
      ? [
          '-icount',
          `shift=${(job.instruction ?? 2) - 1},sleep=off`,
          '-rtc',
          'clock=vm,base=2026-01-01T00:00:00',
        ]
      : []),
    ...['-serial', `file:${join(directory, 'console')}`, '-device', 'virtio-serial-pci'],
    ...[...port('stdout', 3), ...port('stderr', 4), ...port('status', 5)],
    ...['-chardev', 'socket,id=monitor,fd=6', '-mon', 'monitor'],
    ...['-kernel', image, '-initrd', initrd, '-append', append.join(' ')],
    ...[...share('host', '/'), ...share('kernel', kernelDirectory), ...share('job', directory)],
    ...(job.packages ? share('packages', guestPackages(job.packages, say)) : []),
    ...(job.out ? share('out', resolve(job.out), '') : []),
  ];
}

/** Returns what went wrong, and throws when there is no emulator. */
async function boot(job: VmJob, directory: string): Promise<VmResult | Error> {
  const args = qemuArguments(job, directory);
  // The guest ends with this process, however that ends.
  const qemu = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  const monitor = (qemu.stdio as readonly unknown[])[6] as Duplex;
  monitor.on('error', () => {}).resume();
  let timedOut = false;
  let timer = setTimeout(
    () => {
      timedOut = true;
      monitor.write('nmi\n');
      timer = setTimeout(() => qemu.kill('SIGKILL'), LAST_WORDS);
    },
    job.timeout * PATIENCE * 1000,
  );
  const collect = (fd: number, stream?: 'stdout' | 'stderr') => {
    const chunks: string[] = [];
    (qemu.stdio[fd] as Readable).setEncoding('utf8').on('data', (text: string) => {
      chunks.push(text);
      if (stream) job.onOutput?.(stream, text);
    });
    return chunks;
  };
  const complaints = [collect(1), collect(2)];
  const [stdout, stderr, status] = [collect(3, 'stdout'), collect(4, 'stderr'), collect(5)];
  try {
    await new Promise<void>((done, failed) => {
      qemu.once('close', () => done());
      qemu.once('error', (error) => failed(new Error(`cannot start qemu-system-x86_64: ${error.message}`)));
    });
  } finally {
    clearTimeout(timer);
  }
  const result = { stdout: stdout.join(''), stderr: stderr.join('') };
  if (status.length > 0) return { status: Number(status.join('')), ...result };
  const consoleFile = join(directory, 'console');
  const console = existsSync(consoleFile) ? readFileSync(consoleFile, 'utf8').trimEnd() : '';
  const lines = console.split('\n').slice(timedOut ? -100 : -40);
  const what = timedOut
    ? `not done after ${job.timeout * PATIENCE} s`
    : 'the guest stopped before its command ended';
  const said = [...complaints.flat(), ...lines, ...result.stderr.trimEnd().split('\n').slice(-10)];
  const Failure = timedOut || console.includes(BOOTED) ? Error : BootFailure;
  return new Failure(`VM (Linux ${job.kernel}): ${what}: ${job.command.join(' ')}\n${said.join('\n')}`);
}
