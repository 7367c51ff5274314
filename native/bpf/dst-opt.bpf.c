// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client's side of DST_OPT (HotMiddlebox'13, section 2.1): connections of chosen applications go to a
 * converter, and their SYN says in a TCP option where they were meant to go (converter/dst_opt.h). The
 * application knows nothing of it: getpeername() gives it the peer that it asked for.
 *
 * connect4, connect6   the destination becomes the converter's; the true one is kept by socket cookie
 * sockops              writes the option into the SYN, and copies the entry to the MPTCP connection, whose
 *                      cookie is another one than its first subflow's
 * sock_create          makes that cookie: nobody may ask for it later, and 0 is none
 * IPv4 only: the option for IPv6 does not fit beside MP_CAPABLE and timestamps.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "app-rules.h"
#include "dst-opt.h"
#include "../converter/dst_opt.h"

#define SOCK_STREAM 1
#define TCP_SYN 2
#define TCP_ACK 16
#define MAX_RULES 64
#define RECENT 65536

char LICENSE[] SEC("license") = "GPL";

const volatile struct dst_opt_settings settings SEC(".rodata.settings");

/* By the rule's bit. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_RULES);
	__type(key, __u64);
	__type(value, struct dst_opt_address);
} converters SEC(".maps");

/* Where a socket, by its cookie, was meant to go. The oldest may go. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RECENT);
	__type(key, __u64);
	__type(value, struct dst_opt_address);
} destinations SEC(".maps");

struct option {
	__u8 kind, length;
	__be16 id;
	__be16 port;
	__be32 ip;
} __attribute__((packed));

/* The converter for this process's connections, or NULL. */
static __always_inline struct dst_opt_address *converter_of(void)
{
	__u64 rule = first_rule(settings.netns) & marked_rules();

	return rule ? bpf_map_lookup_elem(&converters, &rule) : NULL;
}

static __always_inline int redirect(struct bpf_sock_addr *ctx, __u32 *ip)
{
	struct dst_opt_address meant = { .ip = *ip, .port = ctx->user_port }, *converter;
	__u64 cookie;

	if (ctx->type != SOCK_STREAM || (bpf_ntohl(meant.ip) >> 24) == 127)
		return 1;
	converter = converter_of();
	if (!converter || converter->ip == meant.ip)
		return 1;
	cookie = bpf_get_socket_cookie(ctx);
	if (bpf_map_update_elem(&destinations, &cookie, &meant, BPF_ANY))
		return 1;
	*ip = converter->ip;
	ctx->user_port = converter->port;
	return 1;
}

SEC("cgroup/connect4")
int dst_opt_connect4(struct bpf_sock_addr *ctx)
{
	__u32 ip = ctx->user_ip4;
	int verdict = redirect(ctx, &ip);

	ctx->user_ip4 = ip;
	return verdict;
}

/* ::ffff:a.b.c.d: an IPv4 connection by an IPv6 socket. */
static __always_inline int is_mapped(struct bpf_sock_addr *ctx)
{
	return !ctx->user_ip6[0] && !ctx->user_ip6[1] && ctx->user_ip6[2] == bpf_htonl(0xffff);
}

SEC("cgroup/connect6")
int dst_opt_connect6(struct bpf_sock_addr *ctx)
{
	__u32 ip = ctx->user_ip6[3];
	int verdict;

	if (!is_mapped(ctx))
		return 1;
	verdict = redirect(ctx, &ip);
	ctx->user_ip6[3] = ip;
	return verdict;
}

SEC("cgroup/getpeername4")
int dst_opt_peer4(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct dst_opt_address *meant = bpf_map_lookup_elem(&destinations, &cookie);

	if (meant) {
		ctx->user_ip4 = meant->ip;
		ctx->user_port = meant->port;
	}
	return 1;
}

SEC("cgroup/getpeername6")
int dst_opt_peer6(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct dst_opt_address *meant = bpf_map_lookup_elem(&destinations, &cookie);

	if (meant && is_mapped(ctx)) {
		ctx->user_ip6[3] = meant->ip;
		ctx->user_port = meant->port;
	}
	return 1;
}

SEC("cgroup/sock_create")
int dst_opt_create(struct bpf_sock *sk)
{
	if (sk->type == SOCK_STREAM)
		bpf_get_socket_cookie(sk);
	return 1;
}

static __always_inline void begin(struct bpf_sock_ops *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx), msk_cookie;
	struct dst_opt_address *meant = bpf_map_lookup_elem(&destinations, &cookie), copy;
	struct mptcp_sock *msk;

	if (!meant)
		return;
	copy = *meant;
	msk = ctx->sk ? bpf_skc_to_mptcp_sock(ctx->sk) : NULL;
	if (msk) {
		msk_cookie = msk->sk.icsk_inet.sk.__sk_common.skc_cookie.counter;
		if (msk_cookie && msk_cookie != cookie)
			bpf_map_update_elem(&destinations, &msk_cookie, &copy, BPF_ANY);
	}
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

static __always_inline int is_syn(struct bpf_sock_ops *ctx)
{
	return (ctx->skb_tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline void write_option(struct bpf_sock_ops *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct dst_opt_address *meant = bpf_map_lookup_elem(&destinations, &cookie);
	struct option option = { .kind = DST_OPT_KIND, .length = DST_OPT_V4, .id = bpf_htons(DST_OPT_ID) };

	if (!meant)
		return;
	option.ip = meant->ip;
	option.port = meant->port;
	bpf_store_hdr_opt(ctx, &option, sizeof(option), 0);
}

SEC("sockops")
int dst_opt_sockops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		begin(ctx);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		if (is_syn(ctx))
			bpf_reserve_hdr_opt(ctx, sizeof(struct option), 0);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		if (is_syn(ctx))
			write_option(ctx);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		if (ctx->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
			bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	}
	return 1;
}
