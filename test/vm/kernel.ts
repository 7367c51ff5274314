/** Debian's kernels, their modules and their headers, from the packages that this machine's apt offers. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cached, checkout } from './cache.ts';
import { dependencies, refreshLists, type Say, unpack } from './packages.ts';

export const KERNELS = ['6.12', '6.1'] as const;
export type KernelVersion = (typeof KERNELS)[number];

export interface Kernel {
  /** As `uname -r` gives it. */
  readonly release: string;
  readonly image: string;
  readonly initrd: string;
  /** Holds modules/usr/lib/modules/RELEASE. */
  readonly directory: string;
}

/** What debug-kernel.sh made, in place of Debian's 6.12. */
const OWN = process.env['SMAPPD_VM_KERNEL'];
const INIT = join(checkout, 'test/vm/guest-init.sh');
/** What the guest must load to reach its root and to speak; all else comes from the module tree. */
const BOOT_MODULES = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay'];

/** The kernel with all that is needed to boot it; downloads about 100 MB the first time. */
export function kernel(version: KernelVersion, say: Say): Kernel {
  const own = version === '6.12' && OWN;
  const directory =
    own ||
    cached(`kernel-${version}`, '1', ['release', 'vmlinuz', 'modules'], (into) => {
      const release = newestRelease(version, say);
      const modules = join(into, 'modules');
      unpack([`linux-image-${release}`], modules, say);
      execFileSync('/sbin/depmod', ['-b', modules, release]);
      copyFileSync(join(modules, 'boot', `vmlinuz-${release}`), join(into, 'vmlinuz'));
      writeFileSync(join(into, 'release'), release);
    });
  const release = readFileSync(join(directory, 'release'), 'utf8');
  const recipe = `1 ${release} ${BOOT_MODULES} ${readFileSync(INIT, 'utf8')}`;
  const initrd = cached(`initrd-${version}`, recipe, ['initrd.gz'], (into) =>
    buildInitrd(into, join(directory, 'modules'), release),
  );
  return { release, directory, image: join(directory, 'vmlinuz'), initrd: join(initrd, 'initrd.gz') };
}

/** The directory to hand to `make -C` for building a module against this kernel, on the host. */
export function headers(version: KernelVersion, say: Say): string {
  const { release, directory: kernelDirectory } = kernel(version, say);
  if (kernelDirectory === OWN) return join(OWN, 'linux-source-6.12');
  const directory = cached(`headers-${version}`, `2 ${release}`, ['root'], (into) => {
    const names = [`linux-headers-${release}`];
    for (const name of dependencies(names[0]!) ?? [])
      if (/^linux-(headers|kbuild|compiler)-/.test(name)) names.push(name);
    try {
      unpack(names, join(into, 'root'), say);
    } catch (error) {
      const remedy = `if apt has a newer kernel by now, remove ${kernelDirectory}`;
      throw new Error(`no headers for Linux ${release}; ${remedy}`, { cause: error });
    }
    // With it the build would make BTF, which needs pahole; modules load without.
    rmSync(join(into, 'root/usr/src', `linux-headers-${release}`, 'vmlinux'), { force: true });
  });
  relocate(join(directory, 'root'), release);
  return join(directory, 'root/usr/src', `linux-headers-${release}`);
}

/** Debian's header packages name /usr/src and /usr/lib; here they lie elsewhere. */
function relocate(root: string, release: string): void {
  const makefile = join(root, 'usr/src', `linux-headers-${release}`, 'Makefile');
  const text = readFileSync(makefile, 'utf8');
  writeFileSync(makefile, text.replace(/(?<= )(?:\S*(?=\/usr\/src\/linux-headers))/g, root));
}

function newestRelease(version: KernelVersion, say: Say): string {
  const find = () => {
    for (const name of [`linux-image-${version}-amd64`, 'linux-image-amd64']) {
      const release = dependencies(name)?.find((one) => one.startsWith(`linux-image-${version}.`));
      if (release) return release.slice('linux-image-'.length);
    }
    return undefined;
  };
  const known = find();
  if (known) return known;
  refreshLists(say);
  const offered = find();
  if (offered) return offered;
  throw new Error(
    `apt offers no Linux ${version} for amd64. On Debian 12 it comes with bookworm-security, on Debian 13 with trixie: ` +
      'add that suite to /etc/apt/sources.list and run apt-get update.',
  );
}

function buildInitrd(into: string, modules: string, release: string): void {
  const tree = join(into, 'initrd');
  for (const name of ['bin', 'dev', 'proc', 'sys', 'modules'])
    mkdirSync(join(tree, name), { recursive: true });
  copyFileSync('/bin/busybox', join(tree, 'bin/busybox'));
  copyFileSync(INIT, join(tree, 'init'));
  chmodSync(join(tree, 'init'), 0o755);
  const files = new Set<string>();
  for (const name of BOOT_MODULES) {
    const show = ['-d', modules, '-S', release, '--show-depends', name];
    const listed = execFileSync('/sbin/modprobe', show, { encoding: 'utf8' });
    for (const [, file] of listed.matchAll(/^insmod (\S+)/gm)) files.add(file!);
  }
  let order = 10;
  for (const file of files) {
    const plain = join(tree, 'modules', `${order++}-${basename(file, '.xz')}`);
    writeFileSync(
      plain,
      file.endsWith('.xz') ? execFileSync('xz', ['-dc', file], { maxBuffer: 1 << 26 }) : readFileSync(file),
    );
  }
  const pack = 'cd "$1" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1 >"$2"';
  execFileSync('sh', ['-c', pack, 'initrd', tree, join(into, 'initrd.gz')]);
}
