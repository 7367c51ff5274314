// SPDX-License-Identifier: GPL-2.0-only
/*
 * The papers' `timeout` event, which mainline's path manager interface lacks: one record in a ring
 * buffer for every expiry of the retransmission timer of every MPTCP subflow, whoever opened it.
 *
 * rto_sockops, attached to the root of the cgroup v2 tree, is called by the timer itself
 * (net/ipv4/tcp_timer.c, tcp_write_timeout) for sockets that carry a flag; it sets the flag on each
 * subflow as that is established. rto_adopt sets it on subflows that are older than us.
 * rto_retransmit takes the same from a tracepoint, where one of those two cannot be used.
 *
 * rto_resumed tells of a connection's first data after a silence, by the same records: when the scheduler
 * (net/mptcp/protocol.c, mptcp_subflow_get_send) looks for a subflow and nothing has been sent on any for long.
 * Before Linux 6.6 it does not look for one while the one before may carry more, so some go untold.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "kernel.h"
#include "rto.h"

#define AF_INET 2
#define SOL_TCP 6
#define TCP_BPF_SOCK_OPS_CB_FLAGS 1008 /* since 6.12 */
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_LISTEN 10
#define TCP_CA_Loss 4
#define SUBFLOWS_MAX 64
#define TCP_RTO_MAX_US 120000000

char LICENSE[] SEC("license") = "GPL";

const volatile struct rto_settings settings SEC(".rodata.settings");
struct rto_counters counters SEC(".bss.counters");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} events SEC(".maps");

/* The subflow behind a socket; none for other sockets, and for namespaces that nobody asked about. */
static __always_inline struct tcp_sock *subflow_of(void *sk)
{
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	if (!tp || !tp->is_mptcp)
		return NULL;
	if (settings.netns &&
	    tp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net->net_cookie != settings.netns)
		return NULL;
	return tp;
}

/* To be called before the timer backs off. `silence_ms`: 0 when it has expired. */
static __always_inline void report(struct tcp_sock *tp, __u32 silence_ms)
{
	struct inet_connection_sock *icsk = &tp->inet_conn;
	struct sock *sk = &icsk->icsk_inet.sk;
	struct sock_common *skc = &sk->__sk_common;
	struct mptcp_subflow_context *subflow = icsk->icsk_ulp_data;
	struct mptcp_sock *msk = (void *)BPF_CORE_READ(subflow, conn);
	__u32 rto_max = TCP_RTO_MAX_US;
	struct rto_event *event;

	if (!msk)
		return;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&counters.dropped, 1);
		return;
	}

	if (bpf_core_field_exists(icsk->icsk_rto_max))
		rto_max = icsk->icsk_rto_max * settings.tick_us;
	event->at = bpf_ktime_get_ns();
	event->netns = skc->skc_net.net->net_cookie;
	event->cgroup = sk->sk_cgrp_data.cgroup->kn->id;
	event->token = BPF_CORE_READ(msk, token);
	event->rto_us = icsk->icsk_rto * settings.tick_us;
	event->expired_us = 0;
	event->backoff = icsk->icsk_backoff;
	event->silence_ms = silence_ms;
	if (!silence_ms) {
		event->expired_us = event->rto_us;
		event->rto_us = event->expired_us * 2 < rto_max ? event->expired_us * 2 : rto_max;
		event->backoff++;
	}
	event->srtt_us = tp->srtt_us >> 3;
	event->snd_una = tp->snd_una;
	event->family = skc->skc_family;
	event->local_port = skc->skc_num;
	event->remote_port = bpf_ntohs(skc->skc_dport);
	event->state = skc->skc_state;
	__builtin_memset(event->local, 0, sizeof(event->local));
	__builtin_memset(event->remote, 0, sizeof(event->remote));
	if (event->family == AF_INET) {
		*(__be32 *)event->local = skc->skc_rcv_saddr;
		*(__be32 *)event->remote = skc->skc_daddr;
	} else {
		BPF_CORE_READ_INTO(&event->local, skc, skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&event->remote, skc, skc_v6_daddr.in6_u.u6_addr8);
	}
	bpf_ringbuf_submit(event, 0);
}

SEC("sockops")
int rto_sockops(struct bpf_sock_ops *ctx)
{
	struct tcp_sock *tp;

	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		tp = subflow_of(ctx->sk);
		if (tp) /* keep what other programs asked for */
			bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTO_CB_FLAG);
		break;
	case BPF_SOCK_OPS_RTO_CB:
		tp = subflow_of(ctx->sk);
		if (tp)
			report(tp, 0);
		break;
	}
	return 1;
}

SEC("iter/tcp")
int rto_adopt(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_sock *tp = subflow_of(skc);
	int flags;

	if (!tp || skc->skc_state == TCP_LISTEN || tp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_RTO_CB_FLAG)
		return 0;
	flags = tp->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTO_CB_FLAG;
	if (bpf_setsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags)))
		counters.refused++;
	else
		counters.adopted++;
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(rto_retransmit, struct sock *sk)
{
	struct tcp_sock *tp = subflow_of(sk);
	struct inet_connection_sock *icsk;
	unsigned char state;

	if (!tp || (settings.sockops && tp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_RTO_CB_FLAG))
		return 0;
	icsk = &tp->inet_conn;
	state = icsk->icsk_inet.sk.__sk_common.skc_state;
	if (state == TCP_SYN_SENT || state == TCP_SYN_RECV)
		return 0;
	/*
	 * In state Loss, acknowledgements make retransmissions too, but only the timer makes one while
	 * no timer is pending: it clears icsk_pending before it runs and arms itself again at its end.
	 */
	if (BPF_CORE_READ_BITFIELD(icsk, icsk_ca_state) == TCP_CA_Loss && !icsk->icsk_pending)
		report(tp, 0);
	return 0;
}

/* Ticks since data was sent on a subflow; 0 while acknowledgements are awaited. */
static __always_inline __u32 silent_for(struct mptcp_subflow_context *subflow)
{
	struct tcp_sock *tp = (void *)BPF_CORE_READ(subflow, tcp_sock);

	return BPF_CORE_READ(tp, packets_out) ? 0 : (__u32)bpf_jiffies64() - BPF_CORE_READ(tp, lsndtime);
}

/* The scheduler looks at each subflow in turn, with the connection locked; we look at all when it begins. */
SEC("tp_btf/mptcp_subflow_get_send")
int BPF_PROG(rto_resumed, struct mptcp_subflow_context *subflow)
{
	__u32 least = settings.silence_ms * 1000ULL / settings.tick_us, shortest, silence;
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(subflow->tcp_sock);
	struct mptcp_sock *msk;
	struct list_head *node, *head;
	int i;

	if (!tp)
		return 0;
	/* Nearly always the end of it: so without a call. */
	shortest = (__u32)bpf_jiffies64() - tp->lsndtime;
	if (shortest < least || tp->packets_out)
		return 0;
	msk = (void *)subflow->conn;
	head = &msk->conn_list;
	node = BPF_CORE_READ(head, next);
	if (node != &subflow->node)
		return 0;
	for (i = 0; i < SUBFLOWS_MAX; i++) {
		node = BPF_CORE_READ(node, next);
		if (node == head)
			break;
		silence = silent_for((void *)node - bpf_core_field_offset(struct mptcp_subflow_context, node));
		if (silence < least)
			return 0;
		if (silence < shortest)
			shortest = silence;
	}
	tp = subflow_of(subflow->tcp_sock);
	if (tp)
		report(tp, (__u64)shortest * settings.tick_us / 1000);
	return 0;
}
