#!/bin/sh
# Builds a 6.12 kernel from Debian's source that finds faults: lockdep, KASAN, kmemleak, debug objects. Takes a quarter
# of an hour on two processors. Then `SMAPPD_VM_KERNEL=DIRECTORY SMAPPD_VM_PATIENCE=10 sh .ci/test test/vm/kmod.test.ts`.
#   debug-kernel.sh DIRECTORY
set -eu
config=$(dirname "$(readlink -f "$0")")/debug-kernel.config
mkdir -p "$1" && cd "$1"
[ -e /usr/src/linux-source-6.12.tar.xz ] ||
  apt-get install -y --no-install-recommends linux-source-6.12 flex bison bc libelf-dev
[ -e linux-source-6.12/Makefile ] || tar xf /usr/src/linux-source-6.12.tar.xz
cd linux-source-6.12
make --silent tinyconfig
scripts/config --disable SLUB_TINY --disable CC_OPTIMIZE_FOR_SIZE
# Twice: some are there only when others are.
for round in 1 2; do
  grep -v '^#' "$config" | tr ' ' '\n' | sed '/./s/^/--enable /' | xargs scripts/config
  make --silent olddefconfig
done
for option in $(grep -v '^#' "$config"); do
  grep -q "^CONFIG_$option=y" .config || echo "debug-kernel: no $option in this kernel" >&2
done
make --silent -j"$(nproc)" bzImage modules
make --silent INSTALL_MOD_PATH="$PWD/../modules/usr" modules_install
ln -sfn usr/lib ../modules/lib
/sbin/depmod -b ../modules "$(make --silent kernelrelease)"
cp arch/x86/boot/bzImage ../vmlinuz
printf %s "$(make --silent kernelrelease)" >../release
