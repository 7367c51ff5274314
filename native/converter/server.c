// SPDX-License-Identifier: MIT
#include "server.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define OTHER_MS 1000 /* an address may become ours */

static void set(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

void socket_tune(const struct options *options, int fd)
{
	if (!options->socket_buffer)
		return;
	set(fd, SOL_SOCKET, SO_SNDBUF, options->socket_buffer);
	set(fd, SOL_SOCKET, SO_RCVBUF, options->socket_buffer);
}

void socket_abort(int fd)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	connect(fd, &nowhere, sizeof(nowhere));
	close(fd);
}

static int new_socket(const struct options *options, int family)
{
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, fd = -1;

	if (options->server_mptcp)
		fd = socket(family, type, IPPROTO_MPTCP);
	return fd < 0 ? socket(family, type, IPPROTO_TCP) : fd;
}

/* Binds to the client's own address; the kernel finds a port. */
static int bind_as(int fd, int family, const struct address *client)
{
	struct sockaddr_storage from;
	struct address a = *client;
	socklen_t length;

	a.port = 0;
	length = address_to_sockaddr(&a, family, &from);
	set(fd, family == AF_INET6 ? SOL_IPV6 : SOL_IP, family == AF_INET6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1);
	set(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	return bind(fd, (struct sockaddr *)&from, length);
}

int server_open(const struct options *options, const struct address *destination, const struct address *client)
{
	int family = address_is_v4(destination) ? AF_INET : AF_INET6;
	struct sockaddr_storage to;
	socklen_t length = address_to_sockaddr(destination, family, &to);
	int fd = new_socket(options, family), error;

	if (fd < 0)
		return -errno;
	socket_tune(options, fd);
	if (options->mark)
		set(fd, SOL_SOCKET, SO_MARK, options->mark);
	if (options->spoof && address_is_v4(client) == (family == AF_INET) && bind_as(fd, family, client))
		goto fail;
	if (connect(fd, (struct sockaddr *)&to, length) && errno != EINPROGRESS)
		goto fail;
	return fd;
fail:
	error = -errno;
	close(fd);
	return error;
}

bool probe_open(struct probe *probe)
{
	probe->fds[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	probe->fds[1] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* or no IPv6 here */
	return probe->fds[0] >= 0;
}

/* The kernel takes the destination as the source only when it is local. UDP, so that nothing is sent. */
static bool is_local(const struct probe *probe, const struct address *destination)
{
	int fd = probe->fds[!address_is_v4(destination)];
	struct sockaddr_storage to, own;
	socklen_t length = address_to_sockaddr(destination, AF_UNSPEC, &to);
	struct address local;

	if (connect(fd, (struct sockaddr *)&to, length))
		return false;
	length = sizeof(own);
	if (getsockname(fd, (struct sockaddr *)&own, &length))
		return false;
	address_from_sockaddr(&local, &own);
	return !memcmp(&local.ip, &destination->ip, sizeof(local.ip));
}

bool server_is_ours(struct probe *probe, const struct address *destination, uint64_t now)
{
	const uint32_t *words = destination->ip.s6_addr32;
	unsigned int slot = ((words[0] ^ words[1] ^ words[2] ^ words[3]) * 2654435761u >> 16) % OTHERS_KNOWN;

	if (now < probe->others[slot].until && !memcmp(&probe->others[slot].ip, &destination->ip, sizeof(destination->ip)))
		return false;
	if (is_local(probe, destination))
		return true;
	probe->others[slot].ip = destination->ip;
	probe->others[slot].until = now + OTHER_MS;
	return false;
}
