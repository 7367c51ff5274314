/* SPDX-License-Identifier: MIT */
/* SYN packets, from the IP header on: reading them, and the packets that answer them. No I/O. */
#ifndef SMAPP_SYN_H
#define SMAPP_SYN_H

#include "address.h"

#include <stddef.h>

struct syn {
	struct address from, to;
	uint32_t sequence;
	bool join;		    /* MP_JOIN: belongs to a connection that we have already */
	bool names_destination;	    /* by DST_OPT */
	struct address destination;
};

#define SYN_MAX 1600   /* longer ones are not ours to handle */
#define RESET_BYTES 60 /* an IPv6 and a TCP header */

/* False for what is no whole SYN (RFC 9293) in IPv4 or IPv6 without fragments and extension headers. */
bool syn_parse(const uint8_t *packet, size_t length, struct syn *syn);
/* Offloads leave the checksum of a captured packet unfinished: makes it good. */
void syn_checksum(uint8_t *packet, size_t length);
/* The reset that refuses this SYN (RFC 9293, section 3.10.7.1). Returns its length. */
size_t syn_refusal(const struct syn *syn, uint8_t out[RESET_BYTES]);

#endif
