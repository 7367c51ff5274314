/* SPDX-License-Identifier: MIT */
/* The client's side of RFC 8803: a connection to a server through a converter. */
#ifndef SMAPP_CONVERT_CLIENT_H
#define SMAPP_CONVERT_CLIENT_H

#include "convert.h"

struct convert_dial {
	struct address converter, destination;
	bool tcp;	/* plain TCP to the converter, not MPTCP */
	bool fast_open; /* the request in the SYN where the kernel has it (MPTCP: 6.2, net.ipv4.tcp_fastopen & 1) */
	int timeout_ms; /* for the whole; 0: the kernel's own */
	uint8_t cookie[CONVERT_MAX]; /* sent when there is one; learned when the converter asks for one */
	size_t cookie_length;
};

/*
 * Returns a blocking socket whose next byte is the server's first, or -1: then errno says why, and
 * @refusal, when the converter gave a reason, is its error code (else -1). Dials twice when it learns a
 * cookie by the first.
 */
int convert_dial(struct convert_dial *dial, int *refusal);

#endif
