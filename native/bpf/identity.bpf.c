// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which process made an MPTCP connection: noted at connect(), while it is the current one, under the
 * token that the connection has from then on. The kernel's own joins, and those that smappd asks for,
 * pass here too but are not the connection's first subflow.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "kernel.h"
#include "identity.h"

char LICENSE[] SEC("license") = "GPL";

const volatile struct identity_settings settings SEC(".rodata.settings");

/* Read once, when the connection comes up; the oldest may go. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct identity_key);
	__type(value, struct identity);
} identities SEC(".maps");

static __always_inline int note(struct bpf_sock_addr *ctx)
{
	struct tcp_sock *tp = ctx->sk ? bpf_skc_to_tcp_sock(ctx->sk) : NULL;
	struct mptcp_subflow_context *subflow;
	struct mptcp_sock *msk;
	struct identity_key key = {};
	struct identity who = {};

	if (!tp || !tp->is_mptcp)
		return 1;
	key.netns = tp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net->net_cookie;
	if (settings.netns && key.netns != settings.netns)
		return 1;
	subflow = tp->inet_conn.icsk_ulp_data;
	msk = (void *)BPF_CORE_READ(subflow, conn);
	if ((void *)BPF_CORE_READ(msk, first) != (void *)tp)
		return 1;
	key.token = BPF_CORE_READ(msk, token);
	who.cgroup = bpf_get_current_cgroup_id();
	who.pid = bpf_get_current_pid_tgid() >> 32;
	who.uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(who.comm, sizeof(who.comm));
	bpf_map_update_elem(&identities, &key, &who, BPF_ANY);
	return 1;
}

SEC("cgroup/connect4")
int identity_connect4(struct bpf_sock_addr *ctx)
{
	return note(ctx);
}

SEC("cgroup/connect6")
int identity_connect6(struct bpf_sock_addr *ctx)
{
	return note(ctx);
}
