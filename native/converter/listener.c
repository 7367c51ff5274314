// SPDX-License-Identifier: MIT
#include "listener.h"

#include "server.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
#define FAST_OPEN_QUEUE 1024

static bool set(int fd, int level, int name, int value)
{
	return !setsockopt(fd, level, name, &value, sizeof(value));
}

static int get(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, name, &value, &length) ? -1 : value;
}

static void cannot(const char *what, const struct door *door)
{
	char text[ADDRESS_TEXT];

	fprintf(stderr, "smapp-convert: %s %s: %s\n", what, address_text(&door->address, text), strerror(errno));
	exit(1);
}

static int open_door(const struct door *door)
{
	struct sockaddr_storage at;
	int family = address_is_v4(&door->address) ? AF_INET : AF_INET6;
	socklen_t length = address_to_sockaddr(&door->address, family, &at);
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd = socket(family, type, IPPROTO_MPTCP);

	if (fd < 0) {
		fprintf(stderr, "smapp-convert: no MPTCP here (%s): clients get plain TCP\n", strerror(errno));
		fd = socket(family, type, IPPROTO_TCP);
	}
	if (fd < 0)
		cannot("socket for", door);
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!set(fd, SOL_SOCKET, SO_REUSEPORT, 1))
		cannot("SO_REUSEPORT on", door);
	if (family == AF_INET6)
		set(fd, SOL_IPV6, IPV6_V6ONLY, 1);
	if (door->mode == MODE_TRANSPARENT &&
	    !(family == AF_INET ? set(fd, SOL_IP, IP_TRANSPARENT, 1) : set(fd, SOL_IPV6, IPV6_TRANSPARENT, 1)))
		cannot("IP_TRANSPARENT (CAP_NET_ADMIN) on", door);
	if (bind(fd, (struct sockaddr *)&at, length))
		cannot("bind to", door);
	if (door->mode == MODE_EXPLICIT)
		set(fd, IPPROTO_TCP, TCP_FASTOPEN, FAST_OPEN_QUEUE); /* 6.2 and later with MPTCP */
	if (listen(fd, BACKLOG))
		cannot("listen on", door);
	return fd;
}

static bool fits(int fd, const struct door *door)
{
	struct sockaddr_storage at;
	struct address own;
	socklen_t length = sizeof(at);
	int transparent;

	if (getsockname(fd, (struct sockaddr *)&at, &length))
		return false;
	address_from_sockaddr(&own, &at);
	transparent = at.ss_family == AF_INET ? get(fd, SOL_IP, IP_TRANSPARENT) : get(fd, SOL_IPV6, IPV6_TRANSPARENT);
	return address_equal(&own, &door->address) && (transparent == 1) == (door->mode == MODE_TRANSPARENT);
}

static int take(struct inheritance *inherited, const struct door *door)
{
	for (unsigned int i = 0; i < inherited->count; i++) {
		int fd = inherited->fds[i];

		if (fd >= 0 && fits(fd, door)) {
			inherited->fds[i] = -1;
			return fd;
		}
	}
	return -1;
}

void listeners_open(struct loop *loops, unsigned int count, struct inheritance *inherited)
{
	const struct options *options = loops[0].options;

	for (unsigned int d = 0; d < options->door_count; d++) {
		for (unsigned int l = 0; l < count; l++) {
			int fd = take(inherited, &options->doors[d]);

			if (fd < 0)
				fd = open_door(&options->doors[d]);
			loops[l].listeners[d].source = (struct source){ SOURCE_LISTENER, fd };
			loops[l].listeners[d].door = &options->doors[d];
		}
	}
	for (unsigned int l = 0; l < count; l++)
		for (unsigned int d = 0; d < options->door_count; d++)
			set(loops[l].listeners[d].source.fd, IPPROTO_TCP, TCP_NODELAY, 1); /* all that it accepts inherit it */
	/* Closing a listener resets what waits in it; that is meant only for doors that are gone. */
	for (unsigned int i = 0; i < inherited->count; i++)
		if (inherited->fds[i] >= 0)
			close(inherited->fds[i]);
}
