#!/bin/sh
# Runs in the guest: installs smappd, lets a real systemd (in namespaces of its own) start, reload, lose, watch
# and stop it, and takes it away again. Prints what it finds as NAME=VALUE lines for systemd.test.ts.
#   systemd.sh CHECKOUT
set -eu
cd "$1"
say() { echo "$1=$2"; }

node dist/agent/cli.js install --no-start >&2
# What a guest without disks does not need, and would wait for.
for unit in systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-udevd systemd-udev-trigger systemd-sysctl \
  systemd-modules-load systemd-random-seed systemd-update-utmp systemd-journal-flush systemd-binfmt; do
  mkdir -p /etc/systemd/system
  ln -sf /dev/null "/etc/systemd/system/$unit.service"
done
# Emulation is slow, and the host may be busy.
mkdir -p /etc/systemd/system/smappd.service.d
printf '[Service]\nTimeoutStartSec=300\nWatchdogSec=200\n' >/etc/systemd/system/smappd.service.d/slow.conf

unshare --fork --pid --mount-proc --cgroup --propagation private env -i "PATH=$PATH" container=smappd \
  /lib/systemd/systemd --unit=basic.target --log-target=console --show-status=0 >&2 &
systemd=
inside() { nsenter --target "$systemd" --mount --pid --cgroup "$@"; }
until [ -n "$systemd" ] && inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
  sleep 1
  systemd=$(pgrep -x systemd | head -n 1) || true
done

show() { inside systemctl show smappd --property="$1" --value; }
inside systemctl start smappd
say started "$(show ActiveState)"
say user "$(ps -o user= -p "$(pgrep -f lib/smappd/dist/agent/main.js)")"
say kept "$(show NFileDescriptorStore)"
say socket "$(stat -c '%a %U %G' "/proc/$systemd/root/run/smappd/control.sock")"
say path_manager "$(cat /proc/sys/net/mptcp/pm_type)"
say status "$(inside smappctl status --json)"
inside systemctl reload smappd
say reloaded "$(show ActiveState)"

before=$(show MainPID)
inside systemctl kill --signal=KILL smappd
until [ "$(show MainPID)" != "$before" ] && [ "$(show ActiveState)" = active ]; do sleep 1; done
say restarts "$(show NRestarts)"
say kept_after "$(show NFileDescriptorStore)"
say status_after "$(inside smappctl status --json)"

inside systemctl stop smappd
say stopped "$(show Result)"
say path_manager_after "$(cat /proc/sys/net/mptcp/pm_type)"
inside smappctl uninstall >&2
say left "$(find /usr/local /etc/smappd -name '*smapp*' 2>/dev/null | tr '\n' ' ')"
say user_left "$(grep -c '^smappd:' /etc/passwd || true)"
