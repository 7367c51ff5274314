/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What rto.bpf.c and agent/bpf/rto-record.ts agree on. Fields are in the machine's byte order
 * unless they say otherwise, and aligned so that no compiler adds padding.
 */
#ifndef SMAPPD_RTO_H
#define SMAPPD_RTO_H

#include <linux/types.h>

/* Set before loading. */
struct rto_settings {
	__u64 netns;    /* cookie of the one network namespace to tell about; 0 for all */
	__u32 tick_us;  /* length of a jiffy */
	__u32 sockops;  /* rto_sockops is attached too: rto_retransmit leaves its sockets alone */
	__u32 silence_ms; /* shorter silences are not told */
	__u32 reserved;
};

struct rto_counters {
	__u64 dropped;  /* events lost because user space did not read */
	__u64 adopted;  /* older sockets that rto_adopt enrolled */
	__u64 refused;  /* older sockets that it could not enroll (before 6.12) */
};

/* One expiry of a subflow's retransmission timer, or a connection's first data after a silence. */
struct rto_event {
	__u64 at;           /* CLOCK_MONOTONIC, ns */
	__u64 netns;        /* cookie */
	__u64 cgroup;       /* id of the socket's cgroup v2: the inode number of its directory */
	__u32 token;
	__u32 expired_us;   /* the timeout that expired; 0 after a silence */
	__u32 rto_us;       /* the one that follows */
	__u32 srtt_us;
	__u32 snd_una;
	__u16 family;       /* AF_INET or AF_INET6 */
	__u16 local_port;
	__u16 remote_port;
	__u8 backoff;       /* doublings since the last acknowledgement, one that begins now included */
	__u8 state;         /* include/net/tcp_states.h */
	__u8 local[16];     /* network order; IPv4 in the first four bytes */
	__u8 remote[16];
	__u32 silence_ms;   /* 0 for an expiry */
};

#endif
