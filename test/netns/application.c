/*
 * An application with one MPTCP connection, for tests that ask whose it is.
 *
 *   application server PORT                     accepts connections
 *   application backlog PORT                    listens, and accepts none
 *   application client ADDRESS PORT [MYPORT]    connects (from MYPORT)
 *
 * Prints "listening PORT" or "connected MYPORT", then holds what it has until its standard input closes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static void die(const char *what)
{
	fprintf(stderr, "application: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int make_socket(int family, int port)
{
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(family, SOCK_STREAM, IPPROTO_MPTCP), on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (port && bind(fd, family == AF_INET ? (void *)&any4 : (void *)&any6,
			 family == AF_INET ? sizeof(any4) : sizeof(any6)) < 0)
		die("bind");
	return fd;
}

static int serve(int port, int accepting)
{
	struct pollfd ready[2] = { { .fd = 0, .events = POLLIN }, { .events = POLLIN } };

	ready[1].fd = make_socket(AF_INET6, port);
	if (listen(ready[1].fd, 64) < 0)
		die("listen");
	printf("listening %d\n", port);
	fflush(stdout);
	while (poll(ready, accepting ? 2 : 1, -1) > 0 && !ready[0].revents) {
		if (ready[1].revents && accept(ready[1].fd, NULL, NULL) < 0)
			die("accept");
	}
	return 0;
}

static int connect_to(const char *address, int port, int my_port)
{
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int v6 = inet_pton(AF_INET6, address, &to6.sin6_addr) == 1;
	int fd = make_socket(v6 ? AF_INET6 : AF_INET, my_port);
	struct sockaddr_in6 mine = { 0 };
	socklen_t length = sizeof(mine);
	char byte;

	if (!v6 && inet_pton(AF_INET, address, &to4.sin_addr) != 1)
		die(address);
	if (connect(fd, v6 ? (void *)&to6 : (void *)&to4, v6 ? sizeof(to6) : sizeof(to4)) < 0)
		die("connect");
	/* The port lies at the same place for both families. */
	getsockname(fd, (void *)&mine, &length);
	printf("connected %d\n", ntohs(mine.sin6_port));
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && (!strcmp(argv[1], "server") || !strcmp(argv[1], "backlog")))
		return serve(atoi(argv[2]), !strcmp(argv[1], "server"));
	if (argc >= 4 && !strcmp(argv[1], "client"))
		return connect_to(argv[2], atoi(argv[3]), argc > 4 ? atoi(argv[4]) : 0);
	fprintf(stderr, "application: server PORT | backlog PORT | client ADDRESS PORT [MYPORT]\n");
	return 2;
}
