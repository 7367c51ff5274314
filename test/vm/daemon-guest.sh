#!/bin/sh
# Runs in the guest, in virtual time: tests of the daemon, from RAM (the clock leaps while the guest waits for a file).
#   daemon-guest.sh ARCHIVE FILE...     prints a line of JSON a test (guest-reporter.ts)
set -eu
archive=$1
shift
mkdir /run/checkout
cd /run/checkout
tar --extract --touch --file="$archive"
for module in veth sch_tbf nf_tables nft_numgen inet_diag tcp_diag mptcp_diag; do modprobe "$module"; done
for tool in node nsenter ip tc nft ss sysctl sh bash cat; do
  path=$(readlink -f "$(command -v "$tool")")
  # Any change of a file makes the overlay copy it.
  # shellcheck disable=SC2046
  touch -c "$path" $(ldd "$path" 2>/dev/null | grep -o '/[^ ]*')
done
# Code that is compiled while it runs makes the emulator translate again and again.
export NODE_OPTIONS=--jitless
status=0
for file in "$@"; do
  node --test-reporter=./dist/test/vm/guest-reporter.js "dist/test/netns/$file.test.js" || status=1
done
exit $status
