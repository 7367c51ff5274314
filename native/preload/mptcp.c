// SPDX-License-Identifier: MIT
/*
 * Makes a program's TCP sockets MPTCP sockets (RFC 8684), for LD_PRELOAD: `smappctl run` sets that. Peers
 * without MPTCP are spoken to in TCP; where this host has no MPTCP the program gets what it asked for.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define TYPE_MASK 0xf /* the rest of the type are flags */

static int (*next_socket)(int domain, int type, int protocol);

__attribute__((constructor)) static void find_next(void)
{
	next_socket = dlsym(RTLD_NEXT, "socket");
}

int socket(int domain, int type, int protocol)
{
	int before = errno, fd;

	/* Another library's constructor may come before ours. */
	if (!next_socket)
		find_next();
	if ((domain == AF_INET || domain == AF_INET6) && (type & TYPE_MASK) == SOCK_STREAM &&
	    (protocol == 0 || protocol == IPPROTO_TCP)) {
		fd = next_socket(domain, type, IPPROTO_MPTCP);
		if (fd >= 0)
			return fd;
		errno = before;
	}
	return next_socket(domain, type, protocol);
}
