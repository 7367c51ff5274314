/* SPDX-License-Identifier: GPL-2.0-only */
/* What identity.bpf.c and agent/bpf/identities.ts agree on, in the machine's byte order. */
#ifndef SMAPPD_IDENTITY_H
#define SMAPPD_IDENTITY_H

#include <linux/types.h>

/* Set before loading. */
struct identity_settings {
	__u64 netns;    /* cookie of the one network namespace to look at; 0 for all */
};

/* A connection: tokens are unique in a network namespace only. */
struct identity_key {
	__u64 netns;    /* cookie */
	__u32 token;
	__u32 reserved;
};

/* Who called connect(). */
struct identity {
	__u64 cgroup;   /* id of the process's cgroup v2: the inode number of its directory */
	__u32 pid;      /* in the first pid namespace */
	__u32 uid;      /* in the first user namespace */
	char comm[16];  /* name of the thread */
};

#endif
