# Client with two paths, converter, server, as three network namespaces: $C, $V and $S run a command in them.
#   client 10.0.1.2, 10.0.2.2 -- 10.0.1.1, 10.0.2.1 converter 10.0.3.1 -- 10.0.3.2 server; IPv6 fd00:N:: alike
for needed in veth sch_netem sch_tbf nf_tables nft_tproxy nft_socket tcp_diag mptcp_diag; do modprobe $needed; done
for name in client converter server; do
  ip netns add $name
  ip -n $name link set lo up
done
C='ip netns exec client' V='ip netns exec converter' S='ip netns exec server'
ip link add c0 netns client type veth peer name r0 netns converter
ip link add c1 netns client type veth peer name r1 netns converter
ip link add s0 netns server type veth peer name r2 netns converter
address() { ip -n $1 addr add 10.0.$3/24 dev $2; ip -n $1 addr add fd00:${3%.*}::${3#*.}/64 dev $2 nodad; ip -n $1 link set $2 up; }
address client c0 1.2; address client c1 2.2; address server s0 3.2
address converter r0 1.1; address converter r1 2.1; address converter r2 3.1
ip -n client route add default via 10.0.1.1
ip -n client route add default via fd00:1::1
ip -n client rule add from 10.0.2.2 table 2
ip -n client route add default via 10.0.2.1 table 2
ip -n client route add 10.0.2.0/24 dev c1 table 2
ip -n server route add default via 10.0.3.1
ip -n server route add default via fd00:3::1
$V sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
for run in "$C" "$V" "$S"; do
  $run sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
    net.ipv4.ip_local_port_range='1025 65000' net.ipv4.tcp_tw_reuse=1 net.core.somaxconn=8192 \
    net.ipv4.tcp_max_syn_backlog=8192 net.ipv4.tcp_rmem='4096 4194304 8388608'
  $run sysctl -qw net.mptcp.blackhole_timeout=0 2>/dev/null || true
done
for name in client converter server; do ip -n $name mptcp limits set subflow 4 add_addr_accepted 4; done
[ "${PATHS-2}" = 1 ] || ip -n client mptcp endpoint add 10.0.2.2 dev c1 subflow
# TPROXY of what comes from clients to ports 8000 to 8099.
ip -n converter rule add fwmark 1 lookup 100
ip -n converter route add local 0.0.0.0/0 dev lo table 100
ip -n converter -6 rule add fwmark 1 lookup 100
ip -n converter -6 route add local ::/0 dev lo table 100
$V nft -f - <<RULES
table inet smapp {
  chain pre {
    type filter hook prerouting priority mangle
    iifname { r0, r1 } meta nfproto ipv4 tcp dport 8000-8099 tproxy ip to :0 meta mark set 1 accept
    iifname { r0, r1 } meta nfproto ipv6 tcp dport 8000-8099 tproxy ip6 to :0 meta mark set 1 accept
  }
}
RULES
