/* SPDX-License-Identifier: MIT */
/* The connection to a server. */
#ifndef SMAPP_SERVER_H
#define SMAPP_SERVER_H

#include "options.h"

/* Starts connecting, without waiting, on behalf of @client. Returns the socket, or -errno. */
int server_open(const struct options *options, const struct address *destination, const struct address *client);

#define OTHERS_KNOWN 64

/* Asks the kernel for routes. One a thread. */
struct probe {
	int fds[2];
	struct {
		struct in6_addr ip;
		uint64_t until; /* ms */
	} others[OTHERS_KNOWN]; /* addresses that are not this machine's, for a while */
};

bool probe_open(struct probe *probe);
/*
 * Whether the address is one of this machine's: a transparent door would connect to itself for ever. A no holds for a
 * second from @now (ms): most connections go where others went just before, and asking takes two system calls.
 */
bool server_is_ours(struct probe *probe, const struct address *destination, uint64_t now);
/* TCP_NODELAY and the buffer sizes that the options ask for: both sides of a relay want them. */
void socket_tune(const struct options *options, int fd);
/* Ends the connection with RST, or MPTCP's fast close; close() alone would end it in order. Closes @fd. */
void socket_abort(int fd);

#endif
