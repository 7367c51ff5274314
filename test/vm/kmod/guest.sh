# Runs in the guest: every case, one "NAME RESULT" line each. kmod.test.ts says what the results must be.
#   guest.sh MODULE DIRECTORY_OF_PROGRAMS
set -u
cd "$(dirname "$0")"
module=$1 bin=$2
exec 2>&1
# On a busy host the guest's processors stand still for seconds, and its watchdogs take that for lockups.
sysctl -qw kernel.watchdog=0
echo 1 >/sys/module/rcupdate/parameters/rcu_cpu_stall_suppress
dmesg --clear
. ./topology.sh
for needed in nf_conntrack nf_reject_ipv4 nf_reject_ipv6; do modprobe $needed; done
insmod "$module" || exit 1
load="$bin/converter-load"

declare -A holders
hold() { # NAME OPTION...: a listener of the module, which `stats NAME` asks
  local name=$1; shift
  $V "$bin/holder" "$@" >/run/holder.$name & holders[$name]=$!
}
stats() { kill -USR1 ${holders[$1]}; sleep 0.2; tail -n 1 /run/holder.$1; }
until_stat() { # NAME COUNTER VALUE: waits, a minute at most, until the counter has reached it
  for _ in $(seq 120); do
    [ "$(stats $1 | grep -o "\"$2\":[0-9]*" | cut -d: -f2)" -ge $3 ] && return
    sleep 0.3
  done
}
connections() { kill -USR2 ${holders[$1]}; sleep 0.2; tail -n 1 /run/holder.$1; }
# A case that hangs is ended, and says what its sockets looked like.
PATIENCE=${SMAPPD_VM_PATIENCE:-1}
case_() {
  local name=$1 result=/run/result.$BASHPID; shift
  "$@" >$result & local job=$!
  sleep $((60 * PATIENCE)) & local clock=$! first
  wait -n -p first $job $clock
  [ $first = $job ] || hung $name
  { kill -KILL $job $clock; wait $job $clock; } 2>/dev/null
  echo "$name $(tail -n 1 $result)"
}
hung() {
  for each in client converter server; do
    for kind in -tnime -Mnime; do ip netns exec $each ss $kind; done
    ip netns exec $each nstat -as | grep -E 'MPTcp|Retrans|Drop|ZeroWindow'
  done | sed "s/^/hung $1: /"
  for name in "${!holders[@]}"; do echo "hung $1: $name $(stats $name)"; done
}
sockets() { $V awk '/^TCP6?:/{n+=$3} END{print n}' /proc/net/sockstat /proc/net/sockstat6; }

for port in 8000 8001 8002 8004 8005 8006 8007 8008 8009; do $S $load serve $port >/dev/null & done
hold plain :: 8000
hold parallel -f 2 :: 8001
hold held -f 6 :: 8002
hold refusing -f 6 :: 8003
hold impatient -c 1500 -i 1500 -h 1000 :: 8004
hold few -n 10 :: 8005
hold tight -m 65536 -b 65536 :: 8006
hold flooded -f 6 -t 64 -r 100 -c 2000 :: 8007
hold fixed :: 9000 10.0.3.2 8000
sleep 0.5

echo "device-for-others $(setpriv --reuid=65534 --clear-groups "$bin/holder" misuse 2>&1)"
"$bin/holder" misuse | sed 's/^/misuse /'

# The slow ones wait in the background.
$S nft -f - <<RULES
table inet silent {
  chain in {
    type filter hook input priority 0
    ip daddr 10.0.3.3 drop
  }
}
RULES
ip -n server addr add 10.0.3.3/24 dev s0
{
  case_ connect-timeout $C $load ask 10.0.3.3:8004 0 hang
  case_ idle-timeout $C $load ask 10.0.3.2:8004 0 hang
  case_ half-close-timeout $C $load ask -e 10.0.3.2:8004 0 hang
  case_ unreachable-host $C $load ask 10.0.3.77:8003 0 hang
  case_ unreachable-net $C $load ask 10.0.4.77:8003 0 hang
  case_ unreachable-net-ipv6 $C $load ask [fd00:4::2]:8003 0 hang
} >/run/slow &
slow=$!
case_ refused-at-syn $C $load ask 10.0.3.2:8003 0 hang
case_ refused-at-syn-ipv6 $C $load ask [fd00:3::2]:8003 0 hang
case_ refused-at-syn-tcp $C $load ask -t 10.0.3.2:8003 0 hang

for link in "client c0" "client c1" "converter r0" "converter r1"; do
  set -- $link
  ip netns exec $1 tc qdisc add dev $2 root netem rate 150mbit delay 3ms limit 2000
done
case_ exact $C $load both 10.0.3.2:8000 20000000
case_ both-paths $C awk '/c[01]:/{print $2}' OFS=, ORS=' ' /proc/net/dev
for link in "client c0" "client c1" "converter r0" "converter r1"; do
  set -- $link
  ip netns exec $1 tc qdisc del dev $2 root
done
case_ exact-ipv6 $C $load both [fd00:3::2]:8000 5000000
case_ exact-fallback $C $load both -t 10.0.3.2:8000 5000000
case_ exact-parallel $C $load both 10.0.3.2:8001 5000000
case_ exact-held $C $load both [fd00:3::2]:8002 5000000
case_ exact-tight $C $load both 10.0.3.2:8006 5000000
case_ exact-fixed $C $load both 10.0.1.1:9000 5000000
case_ half-close $C $load get -e 10.0.3.2:8000 1000000 2 1
case_ server-resets $C $load ask 10.0.3.2:8000 100000 reset
case_ client-resets $C $load abort 10.0.3.2:8000 10000000
case_ slow-reader $C $load slow 10.0.3.2:8006 3000000 1500
case_ tight-stats stats tight

case_ one-after-another $C $load get -s 300 10.0.3.2:8000 1024 300 1
case_ many $C $load get -s 300 10.0.3.2:8000 1024 1000 100
case_ many-parallel $C $load get -s 300 10.0.3.2:8001 1024 300 50
case_ many-held $C $load get -s 300 10.0.3.2:8002 1024 300 50
case_ many-held-fallback $C $load get -t -s 300 10.0.3.2:8002 1024 300 50

sleep 300 | $C $load idle 10.0.3.2:8005 30 >/dev/null &
until_stat few accepted 30
until_stat few opened 10
case_ few-stats stats few
case_ few-connection connections few

# smapp-convert with the module: it gives its listeners away, or where there are rules of access its connections. A
# successor takes the listeners; connections stay with the process before.
program_at() { $V "$bin/smapp-convert" --kernel --syn-open hold --control /run/$1.sock "${@:3}" --listen transparent,0.0.0.0:$2 >/dev/null & }
program_at listening 8008
program_at handing 8009 --deny 192.0.2.0/24
sleep 1
case_ exact-listening $C $load both 10.0.3.2:8008 5000000
case_ exact-handing $C $load both 10.0.3.2:8009 5000000
$C timeout $((60 * PATIENCE)) $load slow 10.0.3.2:8008 3000000 1000 >/run/slow-over &
over=$!
sleep 1
program_at listening 8008 --takeover
sleep 1
case_ exact-successor $C $load both 10.0.3.2:8008 5000000
wait $over
case_ exact-predecessor cat /run/slow-over
node -e '
  for (const name of ["listening", "handing"]) {
    let text = "";
    const socket = require("net").connect(`/run/${name}.sock`, () => socket.write("stats\n"));
    socket.on("data", (data) => (text += data)).on("close", () => console.log(`${name}-stats ${text.trim()}`));
  }'

# Handshakes that never end: the client hears no SYN/ACK.
$C nft -f - <<RULES
table inet deaf {
  chain in {
    type filter hook input priority 0
    tcp sport 8007 tcp flags & (syn | ack) == syn | ack drop
  }
}
RULES
$C $load get -t -s 60 10.0.3.2:8007 1 150 150 >/dev/null & clients=$!
until_stat flooded syn_seen 150
kill -KILL $clients
wait $clients 2>/dev/null
case_ flood-stats stats flooded
flood_ends=$((SECONDS + 12))
$C nft delete table inet deaf

wait $slow; cat /run/slow
until_stat flooded syn_expired 1
while [ $SECONDS -lt $flood_ends ]; do sleep 0.5; done
case_ flood-over-stats stats flooded
case_ impatient-stats stats impatient
case_ plain-stats stats plain
case_ parallel-stats stats parallel
case_ held-stats stats held
case_ refusing-stats stats refusing

# Under load: the module stays as long as somebody holds it, and goes at once when he is killed.
$C $load get -s 300 10.0.3.2:8000 100000 1000000 6 >/run/load & 
$C $load get -s 300 10.0.3.2:8002 1024 1000000 6 >/run/load2 &
$C $load both -s 300 10.0.3.2:8001 100000000000 >/run/load3 &
sleep 2
echo "rmmod-in-use $(rmmod smapp_convert 2>&1)"
for name in "${!holders[@]}"; do
  [ $name = plain ] || { kill -KILL ${holders[$name]}; wait ${holders[$name]}; } 2>/dev/null
done
sleep 0.5
case_ others-go-on stats plain
kill -KILL ${holders[plain]} $(pidof smapp-convert)
wait ${holders[plain]} 2>/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do rmmod smapp_convert 2>/dev/null && break; sleep 0.2; done
echo "module-left $(grep -c smapp_convert /proc/modules)"
echo "rmmod-tries $try"
sleep 0.5
echo "sockets-left $(sockets)"
insmod "$module" && rmmod smapp_convert && echo "again yes"
if [ -e /sys/kernel/debug/kmemleak ]; then
  # What is found by the first scan may be on its way yet.
  for scan in 1 2; do echo scan >/sys/kernel/debug/kmemleak; sleep 6; done
  sed 's/^/kernel-complains /' /sys/kernel/debug/kmemleak
fi
dmesg | grep -E 'WARNING|BUG|Oops|Call Trace|refcount|unregister_netdevice|KASAN|INFO: ' | sed 's/^/kernel-complains /'
echo done yes
