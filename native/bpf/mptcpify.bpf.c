// SPDX-License-Identifier: GPL-2.0-only
/*
 * Turns TCP sockets of chosen applications into MPTCP sockets as they are made, by what is known of the
 * process then: the policy's first rule that matches decides.
 *
 * net/socket.c calls update_socket_protocol() for programs like this one (since 6.6).
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "kernel.h"
#include "app-rules.h"

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_TYPE_MASK 0xf
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262

char LICENSE[] SEC("license") = "GPL";

const volatile struct mptcpify_settings settings SEC(".rodata.settings");

SEC("fmod_ret/update_socket_protocol")
int BPF_PROG(mptcpify, int family, int type, int protocol)
{
	__u64 rule;

	if ((family != AF_INET && family != AF_INET6) || (type & SOCK_TYPE_MASK) != SOCK_STREAM ||
	    (protocol && protocol != IPPROTO_TCP))
		return protocol;
	rule = first_rule(settings.netns);
	return rule & marked_rules() ? IPPROTO_MPTCP : protocol;
}
