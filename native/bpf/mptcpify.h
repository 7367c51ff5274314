/* SPDX-License-Identifier: GPL-2.0-only */
/* What mptcpify.bpf.c and agent/bpf/mptcp-switch.ts agree on, in the machine's byte order. */
#ifndef SMAPPD_MPTCPIFY_H
#define SMAPPD_MPTCPIFY_H

#include <linux/types.h>

/* Set before loading. */
struct mptcpify_settings {
	__u64 netns;      /* cookie of the one network namespace to act in */
};

/* Sets of rules, a bit each; the lowest bit is the first rule of the policy. */
struct mptcpify_rules {
	__u64 all;
	__u64 mptcp;      /* turn sockets into MPTCP; in dst-opt.bpf.c: go through a converter */
	__u64 unit;       /* ask for a systemd unit, */
	__u64 cgroup;     /* a control group, */
	__u64 user;       /* a user, */
	__u64 exe;        /* a program */
};

/* Keys are filled up with zeros; longer names are cut. */
struct mptcpify_unit {
	char name[64];
};

struct mptcpify_exe {
	__u64 inode;
	char name[56];    /* without the path */
};

#endif
