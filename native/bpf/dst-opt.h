/* SPDX-License-Identifier: GPL-2.0-only */
/* What dst-opt.bpf.c and agent/converter/via.ts agree on. */
#ifndef SMAPPD_DST_OPT_H
#define SMAPPD_DST_OPT_H

#include <linux/types.h>

/* Set before loading. */
struct dst_opt_settings {
	__u64 netns;      /* cookie of the one network namespace to act in */
};

/* In network order, IPv4 as v4-mapped IPv6. */
struct dst_opt_address {
	__u32 ip[4];
	__u16 port;
	__u16 zero;
};

/* In network order. What it does not have is 0. */
struct dst_opt_converter {
	__u32 ip4;
	__u32 net6[2]; /* the upper half of its /64 */
	__u16 port;
	__u16 zero;
};

#endif
