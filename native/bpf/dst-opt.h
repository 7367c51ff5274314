/* SPDX-License-Identifier: GPL-2.0-only */
/* What dst-opt.bpf.c and agent/converter/via.ts agree on. */
#ifndef SMAPPD_DST_OPT_H
#define SMAPPD_DST_OPT_H

#include <linux/types.h>

/* Set before loading. */
struct dst_opt_settings {
	__u64 netns;      /* cookie of the one network namespace to act in */
};

/* IPv4, in network order. */
struct dst_opt_address {
	__u32 ip;
	__u16 port;
	__u16 zero;
};

#endif
