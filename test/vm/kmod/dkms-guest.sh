#!/bin/sh
# Runs in the guest: `smappctl converter kernel install` and `remove` with the real DKMS, twice, and what they leave. Takes
# some ten minutes of emulation, so no test runs it:
#   node dist/test/vm/main.js --timeout 2400 --packages dkms,linux-headers-RELEASE -- sh test/vm/kmod/dkms-guest.sh
set -eu
smappctl="node dist/agent/cli.js"
release=$(uname -r)
modules=/lib/modules/$release
say() { echo "$1: $2"; }

# The kernel's modules are read-only here, and know no headers.
mkdir -p /run/modules
mount -t tmpfs modules /run/modules
mkdir /run/modules/upper /run/modules/work
mount -t overlay -o "lowerdir=$modules,upperdir=/run/modules/upper,workdir=/run/modules/work" modules "$modules"
ln -sfn "/usr/src/linux-headers-$release" "$modules/build"

for round in 1 2; do
  say "install $round" "$($smappctl converter kernel install --json)"
  say dkms "$(dkms status)"
  say loaded "$(grep -c '^smapp_convert ' /proc/modules) $(ls /dev/smapp_convert)"
  say file "$(modinfo -F filename smapp_convert)"
  say remove "$($smappctl converter kernel remove --json)"
  say left "$(dkms status)$(grep '^smapp_convert ' /proc/modules || true)$(ls -d /usr/src/smapp* /etc/modules-load.d/smapp* "$modules"/updates/dkms/smapp* 2>/dev/null || true)."
done
