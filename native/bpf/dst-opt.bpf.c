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
 * To IPv6 servers the option tells the upper half of the address, and the lower half goes into the destination.
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
	__type(value, struct dst_opt_converter);
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
	__be32 ip[2]; /* one of them for IPv4 */
} __attribute__((packed));

/* The converter for this process's connections, or NULL. */
static __always_inline struct dst_opt_converter *converter_of(void)
{
	__u64 rule = first_rule(settings.netns) & marked_rules();

	return rule ? bpf_map_lookup_elem(&converters, &rule) : NULL;
}

/* The converter that takes a connection of this process to @meant, which is kept; or NULL. */
static __always_inline struct dst_opt_converter *redirect(struct bpf_sock_addr *ctx, struct dst_opt_address *meant, int v4)
{
	struct dst_opt_converter *converter;
	__u64 cookie;

	if (ctx->type != SOCK_STREAM)
		return NULL;
	meant->port = ctx->user_port;
	converter = converter_of();
	if (!converter || (v4 && (!converter->ip4 || converter->ip4 == meant->ip[3])))
		return NULL;
	if (!v4 && (!converter->net6[0] || (converter->net6[0] == meant->ip[0] && converter->net6[1] == meant->ip[1])))
		return NULL;
	cookie = bpf_get_socket_cookie(ctx);
	return bpf_map_update_elem(&destinations, &cookie, meant, BPF_ANY) ? NULL : converter;
}

static __always_inline int is_loopback4(__u32 ip)
{
	return bpf_ntohl(ip) >> 24 == 127;
}

SEC("cgroup/connect4")
int dst_opt_connect4(struct bpf_sock_addr *ctx)
{
	struct dst_opt_address meant = { .ip = { 0, 0, bpf_htonl(0xffff), ctx->user_ip4 } };
	struct dst_opt_converter *converter;

	if (is_loopback4(meant.ip[3]))
		return 1;
	converter = redirect(ctx, &meant, 1);
	if (!converter)
		return 1;
	ctx->user_ip4 = converter->ip4;
	ctx->user_port = converter->port;
	return 1;
}

/* ::ffff:a.b.c.d: an IPv4 connection by an IPv6 socket. */
static __always_inline int is_mapped(const struct dst_opt_address *a)
{
	return !a->ip[0] && !a->ip[1] && a->ip[2] == bpf_htonl(0xffff);
}

/* Not of a server far away: unspecified, loopback, link-local. */
static __always_inline int is_near6(const struct dst_opt_address *a)
{
	return !a->ip[0] || (bpf_ntohl(a->ip[0]) & 0xffc00000) == 0xfe800000;
}

SEC("cgroup/connect6")
int dst_opt_connect6(struct bpf_sock_addr *ctx)
{
	struct dst_opt_address meant = { .ip = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] } };
	int v4 = is_mapped(&meant);
	struct dst_opt_converter *converter;

	if (v4 ? is_loopback4(meant.ip[3]) : is_near6(&meant))
		return 1;
	converter = redirect(ctx, &meant, v4);
	if (!converter)
		return 1;
	/* Every word, whether it changes or not: the verifier wants constant offsets, which branches make the compiler lose. */
	ctx->user_ip6[0] = v4 ? 0 : converter->net6[0];
	ctx->user_ip6[1] = v4 ? 0 : converter->net6[1];
	ctx->user_ip6[2] = meant.ip[2];
	ctx->user_ip6[3] = v4 ? converter->ip4 : meant.ip[3];
	ctx->user_port = converter->port;
	return 1;
}

SEC("cgroup/getpeername4")
int dst_opt_peer4(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct dst_opt_address *meant = bpf_map_lookup_elem(&destinations, &cookie);

	if (meant) {
		ctx->user_ip4 = meant->ip[3];
		ctx->user_port = meant->port;
	}
	return 1;
}

SEC("cgroup/getpeername6")
int dst_opt_peer6(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct dst_opt_address *meant = bpf_map_lookup_elem(&destinations, &cookie);

	if (meant) {
		ctx->user_ip6[0] = meant->ip[0];
		ctx->user_ip6[1] = meant->ip[1];
		ctx->user_ip6[2] = meant->ip[2];
		ctx->user_ip6[3] = meant->ip[3];
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

static __always_inline struct dst_opt_address *meant_of(struct bpf_sock_ops *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);

	return bpf_map_lookup_elem(&destinations, &cookie);
}

static __always_inline void reserve_option(struct bpf_sock_ops *ctx)
{
	struct dst_opt_address *meant = meant_of(ctx);

	if (meant)
		bpf_reserve_hdr_opt(ctx, is_mapped(meant) ? DST_OPT_V4 : DST_OPT_V6, 0);
}

static __always_inline void write_option(struct bpf_sock_ops *ctx)
{
	struct dst_opt_address *meant = meant_of(ctx);
	struct option option = { .kind = DST_OPT_KIND, .id = bpf_htons(DST_OPT_ID) };

	if (!meant)
		return;
	option.port = meant->port;
	if (is_mapped(meant)) {
		option.length = DST_OPT_V4;
		option.ip[0] = meant->ip[3];
		bpf_store_hdr_opt(ctx, &option, DST_OPT_V4, 0);
	} else {
		option.length = DST_OPT_V6;
		option.ip[0] = meant->ip[0];
		option.ip[1] = meant->ip[1];
		bpf_store_hdr_opt(ctx, &option, DST_OPT_V6, 0);
	}
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
			reserve_option(ctx);
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
