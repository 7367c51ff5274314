/* SPDX-License-Identifier: GPL-2.0-only */
/* One SYN that left with an MPTCP option, as the program on the interface notes it and the loader prints it. */
#ifndef REACTION_STAMP_H
#define REACTION_STAMP_H

#include <linux/types.h>

#define STAMPS 65536
/* RFC 8684, section 8.1 */
#define MP_CAPABLE 0
#define MP_JOIN 1

struct stamp {
	__u64 at; /* ns, CLOCK_MONOTONIC */
	__u32 token; /* of an MP_JOIN: the receiver's */
	__u16 port; /* where it came from */
	__u8 subtype;
	__u8 reserved;
};

#endif
