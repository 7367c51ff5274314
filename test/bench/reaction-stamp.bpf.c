// SPDX-License-Identifier: GPL-2.0-only
/* On the way out of an interface: when SYNs with MP_CAPABLE and MP_JOIN leave, before any queue. IPv4. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "reaction-stamp.h"

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MPTCP 30
#define MOST_OPTIONS 20

char LICENSE[] SEC("license") = "GPL";

__u32 used SEC(".bss.used");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STAMPS);
	__type(key, __u32);
	__type(value, struct stamp);
} stamps SEC(".maps");

static __always_inline void note(struct __sk_buff *skb, __u64 at, __u32 option, __u16 port, __u8 subtype)
{
	__u32 place = __sync_fetch_and_add(&used, 1), token = 0;
	struct stamp *stamp = bpf_map_lookup_elem(&stamps, &place);

	if (!stamp)
		return;
	if (subtype == MP_JOIN)
		bpf_skb_load_bytes(skb, option + 4, &token, sizeof(token));
	stamp->at = at;
	stamp->token = bpf_ntohl(token);
	stamp->port = port;
	stamp->subtype = subtype;
}

SEC("tc")
int stamp_syns(struct __sk_buff *skb)
{
	const __u32 tcp_at = sizeof(struct ethhdr) + sizeof(struct iphdr);
	const __u64 at = bpf_ktime_get_ns();
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct tcphdr *tcp = data + tcp_at;
	__u32 option, options_end;

	if ((void *)(tcp + 1) > end || skb->protocol != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_TCP ||
	    ip->ihl != 5 || !tcp->syn || tcp->ack)
		return TC_ACT_UNSPEC;
	option = tcp_at + sizeof(*tcp);
	options_end = tcp_at + tcp->doff * 4;
	for (int i = 0; i < MOST_OPTIONS && option + 3 <= options_end; i++) {
		__u8 head[3]; /* kind, length, and for MPTCP the subtype in the high bits */

		if (bpf_skb_load_bytes(skb, option, head, sizeof(head)) || head[0] == OPTION_END)
			break;
		if (head[0] == OPTION_MPTCP) {
			note(skb, at, option, bpf_ntohs(tcp->source), head[2] >> 4);
			break;
		}
		option += head[0] == OPTION_NOP ? 1 : head[1];
	}
	return TC_ACT_UNSPEC;
}
