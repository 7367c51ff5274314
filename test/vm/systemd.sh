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
cp /etc/smappd/policy.json /run/policy.json
echo '{ "default": { "controller": "backpu" } }' >/etc/smappd/policy.json
inside systemctl reload smappd && say refused no || say refused "$(show ActiveState)"
cp /run/policy.json /etc/smappd/policy.json

# What connections find while it restarts: the path manager and the routing that it has set.
ip link add wlan0 type veth peer name wlan0-peer
for link in wlan0 wlan0-peer; do ip link set "$link" up; done
ip addr add 198.51.100.2/24 dev wlan0
ip link add wwan0 type veth peer name wwan0-peer
for link in wwan0 wwan0-peer; do ip link set "$link" up; done
ip addr add 203.0.113.2/24 dev wwan0
ip route add default via 198.51.100.1 dev wlan0 metric 100
ip route add default via 203.0.113.1 dev wwan0 metric 200
rules() { ip rule show | grep -c '^32000:' || true; }
until [ "$(rules)" = 2 ]; do sleep 0.2; done
before=$(show MainPID)
while [ ! -e /run/restarted ]; do echo "$(cat /proc/sys/net/mptcp/pm_type) $(rules)"; done >/run/meanwhile &
watcher=$!
inside systemctl restart smappd
touch /run/restarted
wait $watcher
say new_process "$([ "$(show MainPID)" != "$before" ] && echo yes)"
say meanwhile "$(sort -u /run/meanwhile | tr '\n' ',')"

# The HTTP door: Squid in the daemon's sandbox. A server that answers, and a client that asks it through the proxy.
cat >/etc/smappd/policy.json <<'POLICY'
{
  "converter": { "http": { "listen": "127.0.0.1:3128", "connectPorts": [8080] }, "allow": ["127.0.0.1"], "synOpen": "off" },
  "default": { "controller": "single" }
}
POLICY
inside smappctl reload >&2
node -e '
  const http = require("http");
  const proxy = { host: "127.0.0.1", port: 3128 };
  const ask = (options) => new Promise((done, fail) => http.request({ ...proxy, ...options }).on("error", fail)
    .on("response", (answer) => answer.setEncoding("utf8").on("data", (text) => done(answer.statusCode + text)))
    .on("connect", (answer) => done(answer.statusCode)).end());
  const server = http.createServer((_, answer) => answer.end(" hello")).listen(8080, "127.0.0.1", async () => {
    console.log("proxied=" + await ask({ path: "http://127.0.0.1:8080/" }));
    console.log("tunnel=" + await ask({ method: "CONNECT", path: "127.0.0.1:8080" }));
    process.exit();
  });'
say squid_user "$(ps -o user= -C squid)"

before=$(show MainPID)
inside systemctl kill --signal=KILL smappd
until [ "$(show MainPID)" != "$before" ] && [ "$(show ActiveState)" = active ]; do sleep 1; done
say restarts "$(show NRestarts)"
say kept_after "$(show NFileDescriptorStore)"
say status_after "$(inside smappctl status --json)"

inside systemctl stop smappd
say stopped "$(show Result)"
until [ "$(inside systemctl show smappd-host --property=ActiveState --value)" = inactive ]; do sleep 0.2; done
say path_manager_after "$(cat /proc/sys/net/mptcp/pm_type)"
say rules_after "$(rules)"
say run_after "$(ls -d "/proc/$systemd/root/run/smappd" 2>/dev/null)"
cp /run/policy.json /etc/smappd/policy.json # one that was changed would be kept
inside smappctl uninstall >&2
say left "$(find /usr/local /etc/smappd -name '*smapp*' 2>/dev/null | tr '\n' ' ')"
say user_left "$(grep -c '^smappd:' /etc/passwd || true)"
