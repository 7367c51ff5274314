/* SPDX-License-Identifier: MIT */
/*
 * Opening the server's side at SYN time, as MiMBox does (HotMiddlebox'13, section 3): accept() returns
 * only a round trip after the client's SYN. A packet socket sees the SYN at once, a thread of its own
 * connects, and keeps the socket until the client is accepted. DST_OPT is read from the same SYNs.
 */
#ifndef SMAPP_SYN_OPEN_H
#define SMAPP_SYN_OPEN_H

#include "options.h"
#include "stats.h"

struct syn_claim {
	struct address destination;
	int fd;		    /* -1: known destination (DST_OPT), nothing opened */
	int error;	    /* the server could not be had: positive errno */
	uint64_t begun;	    /* us, when the SYN came */
	uint64_t connected; /* us, when the server had answered; 0: not yet */
};

/* Starts the thread, when the options ask for one. Exits with a message when it cannot. */
void syn_open_start(const struct options *options);
/* From then on SYNs are left alone; what was opened stays for its clients. */
void syn_open_stop(void);
/* Takes what was opened for the client that connected from @peer to @local. False when there is nothing. */
bool syn_open_claim(const struct address *peer, const struct address *local, struct syn_claim *claim);
/* Its counters, those named syn_ and dst_opt. */
const struct stats *syn_open_stats(void);

#endif
