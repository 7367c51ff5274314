# Runs in the guest, whose clock advances by instructions: the module against its rivals, one "VARIANT CASE METRIC JSON"
# line a measurement. One client, one path, the converter and one server share the one processor.
#   kmod-guest.sh DIRECTORY_OF_PROGRAMS ROUNDS
set -u
cd "$(dirname "$0")"
rounds=$2
# From RAM: the clock leaps while the guest waits for its files.
mkdir -p /run/bench
cp "$1"/* /run/bench/
PATHS=1
. ../vm/kmod/topology.sh
for needed in nf_conntrack nf_reject_ipv4 nf_reject_ipv6; do modprobe $needed; done
cd /run/bench
insmod ./smapp_convert.ko || exit 1
load=./converter-load
$S $load serve 8000 tcp >/dev/null & $S $load serve 8010 mptcp >/dev/null &

declare -A to=([forward]=10.0.3.2:8010)
at() { to[$1]=10.0.1.1:$2; }
program() { # VARIANT PORT OPTION...
  at $1 $2
  $V ./smapp-convert --listen forward,0.0.0.0:$2,10.0.3.2:8000 --threads 1 --syn-rate 1000000 "${@:3}" >/dev/null &
}
program module 9100 --kernel
program module-parallel 9101 --kernel --syn-open parallel
program module-hold 9102 --kernel --syn-open hold
program converter 9110
program converter-parallel 9111 --syn-open parallel
at recvsend 9120; $V ./converter-relay recvsend 9120 10.0.3.2 8000 1 &
at splice 9121; $V ./converter-relay splice 9121 10.0.3.2 8000 1 &
cat >haproxy.cfg <<CONFIG
global
  maxconn 4000
  nbthread 1
defaults
  mode tcp
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend in
  bind fd@3
  default_backend out
backend out
  server s 10.0.3.2:8000
CONFIG
at haproxy 9130; $V ./converter-listen 9130 haproxy -db -f haproxy.cfg &
sleep 2

plain='forward module converter recvsend splice haproxy'
all='forward module module-parallel module-hold converter converter-parallel recvsend splice haproxy'
for variant in $all; do $C $load get ${to[$variant]} 100000 5 1 >/dev/null || echo "$variant fails" >&2; done
for round in $(seq $rounds); do
  for variant in $plain; do
    echo "$variant default goodput $($C $load get ${to[$variant]} 40000000 1 1)"
    echo "$variant both-ways goodput $($C $load both ${to[$variant]} 20000000)"
    echo "$variant size=1024 echo $($C $load echo ${to[$variant]} 1024 200 500)"
  done
  for variant in $all; do
    echo "$variant size=1024 requests $($C $load get ${to[$variant]} 1024 500 40)"
    echo "$variant size=1024,clients=1 requests $($C $load get ${to[$variant]} 1024 100 1)"
  done
done

# What a connection on which nothing happens takes: both ends of the client's and of the server's included.
slab() { sync; awk '/^Slab:/{print $2 * 1024}' /proc/meminfo; }
for variant in module converter forward; do
  before=$(slab)
  mkfifo idle.in
  $C $load idle ${to[$variant]} 2000 <idle.in >idle & idler=$!
  exec 9>idle.in
  while [ ! -s idle ]; do sleep 0.2; done
  sleep 2
  echo "$variant connections=2000 memory {\"bytes\":$((($(slab) - before) / 2000))}"
  exec 9>&-
  wait $idler
  rm idle.in idle
  sleep 2
done

# All of it on the client's way out: packets that leave the converter are seen behind the queue.
$C tc qdisc add dev c0 root netem delay 10ms limit 10000
sniffed() { # VARIANT METRIC COMMAND...: what the packets' times at the converter were meanwhile
  mkfifo seen.in
  $V ./converter-sniff r0 r2 <seen.in >seen &
  local sniffer=$!
  exec 9>seen.in
  sleep 0.3
  "${@:3}" >/dev/null
  sleep 0.3
  exec 9>&-
  wait $sniffer
  rm seen.in
  echo "$1 rtt=10ms $2 $(tail -n 1 seen)"
}
for round in $(seq $rounds); do
  for variant in $all; do
    sniffed $variant opening $C $load get ${to[$variant]} 1024 20 1
    sniffed $variant data $C $load echo ${to[$variant]} 1400 40 2000
  done
done
echo "- - counters $($C awk '/^MPTcpExt/{if(n++){for(i=2;i<=NF;i++)if($i)printf "%s\"%s\":%s",(m++?",":"{"),k[i],$i}else split($0,k)} END{print "}"}' /proc/net/netstat)"
