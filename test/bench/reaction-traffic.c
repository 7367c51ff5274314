/*
 * Both ends of the traffic of the reaction benchmark, over MPTCP.
 *   reaction-traffic serve PORT BYTES             answers each connection with its own token, then BYTES bytes
 *   reaction-traffic fetch ADDRESS PORT COUNT     COUNT connections one after another, each read to its end;
 *                                                 prints "LOCAL_PORT TOKEN" for each, the token as the server has it
 * The token is what an MP_JOIN of the client will carry; 0 for a connection that fell back to TCP.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/mptcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOL_MPTCP 284
/* Between two connections, so that the end of the one is no part of the next. */
#define PAUSE_US 2000

static char buffer[1 << 16];

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static uint32_t token_of(int fd)
{
	struct mptcp_info info = { 0 };
	socklen_t length = sizeof(info);

	return getsockopt(fd, SOL_MPTCP, MPTCP_INFO, &info, &length) ? 0 : info.mptcpi_token;
}

static void answer(int fd, long bytes)
{
	uint32_t token;
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (read(fd, buffer, sizeof(buffer)) <= 0)
		return;
	token = token_of(fd);
	if (write(fd, &token, sizeof(token)) != sizeof(token))
		return;
	while (bytes > 0) {
		ssize_t sent = write(fd, buffer, bytes < (long)sizeof(buffer) ? (size_t)bytes : sizeof(buffer));

		if (sent <= 0)
			return;
		bytes -= sent;
	}
}

static int serve(int port, long bytes)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	const int on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&here, sizeof(here)) || listen(listener, 64))
		return fail("listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			return fail("accept");
		answer(fd, bytes);
		close(fd);
	}
}

static int fetch(const char *address, int port, int count)
{
	struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(port) }, here;
	uint32_t token;

	inet_pton(AF_INET, address, &there.sin_addr);
	for (; count > 0; count--) {
		int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
		socklen_t length = sizeof(here);

		if (connect(fd, (struct sockaddr *)&there, sizeof(there)))
			return fail("connect");
		if (write(fd, "GET", 3) != 3 || recv(fd, &token, sizeof(token), MSG_WAITALL) != sizeof(token))
			return fail("request");
		while (read(fd, buffer, sizeof(buffer)) > 0)
			;
		getsockname(fd, (struct sockaddr *)&here, &length);
		printf("%u %u\n", ntohs(here.sin_port), token);
		close(fd);
		usleep(PAUSE_US);
	}
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && !strcmp(argv[1], "serve"))
		return serve(atoi(argv[2]), atol(argv[3]));
	if (argc == 5 && !strcmp(argv[1], "fetch"))
		return fetch(argv[2], atoi(argv[3]), atoi(argv[4]));
	fprintf(stderr, "usage: see the top of reaction-traffic.c\n");
	return 2;
}
