/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few fields of kernel structures that our programs read, named as include/net/ and
 * include/linux/ name them. libbpf moves each access to where the running kernel has the field
 * (CO-RE), so order and size here mean nothing, and one object serves every kernel from 6.1 on.
 */
#ifndef SMAPPD_KERNEL_H
#define SMAPPD_KERNEL_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
	const char *name;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct net {
	__u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

typedef struct {
	__s64 counter;
} atomic64_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
};

struct inet_sock {
	struct sock sk;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	__u32 icsk_rto;
	__u32 icsk_rto_max; /* since 6.15 */
	void *icsk_ulp_data;
	__u8 icsk_ca_state : 5;
	__u8 icsk_retransmits;
	__u8 icsk_pending;
	__u8 icsk_backoff;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 srtt_us; /* eight times the smoothed round trip */
	__u32 snd_una;
	__u32 packets_out;
	__u32 lsndtime; /* in ticks */
	__u8 bpf_sock_ops_cb_flags;
	_Bool is_mptcp;
};

struct list_head {
	struct list_head *next;
};

struct mptcp_sock {
	struct inet_connection_sock sk;
	__u32 token;
	struct sock *first;
	struct list_head conn_list;
};

/* net/mptcp/protocol.h; `conn` is the struct mptcp_sock that the subflow belongs to. */
struct mptcp_subflow_context {
	struct list_head node;
	struct sock *conn;
	struct sock *tcp_sock;
};

struct css_set {
	struct cgroup *dfl_cgrp; /* in the cgroup v2 tree */
};

struct nsproxy {
	struct net *net_ns;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct inode {
	unsigned long i_ino;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct mm_struct {
	struct file *exe_file;
};

struct task_struct {
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	struct mm_struct *mm;
};

struct bpf_iter__tcp {
	struct sock_common *sk_common;
};

#pragma clang attribute pop

#endif
