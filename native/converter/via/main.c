// SPDX-License-Identifier: MIT
/*
 * smapp-via CONVERTER:PORT SERVER:PORT: standard input and output as a connection to a server through an
 * RFC 8803 converter, by MPTCP. For instance: ssh -o ProxyCommand='smapp-via 192.0.2.1:5124 %h:%p' HOST
 */
#include "../convert_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int copy(int from, int to)
{
	static char bytes[65536];
	ssize_t n = read(from, bytes, sizeof(bytes));

	for (ssize_t done = 0; done < n;) {
		ssize_t sent = write(to, bytes + done, n - done);

		if (sent < 0)
			return -1;
		done += sent;
	}
	return n;
}

int main(int argc, char **argv)
{
	struct convert_dial dial = { .fast_open = true };
	int refusal, fd, n;

	if (argc != 3 || !address_parse(argv[1], &dial.converter) || !address_parse(argv[2], &dial.destination)) {
		fprintf(stderr, "Usage: smapp-via CONVERTER:PORT SERVER:PORT (addresses, IPv6 in brackets)\n");
		return 2;
	}
	fd = convert_dial(&dial, &refusal);
	if (fd < 0) {
		fprintf(stderr, "smapp-via: %s through %s: %s\n", argv[2], argv[1],
			refusal >= 0 ? convert_error_text(refusal) : strerror(errno));
		return 1;
	}
	struct pollfd polls[2] = { { .fd = 0, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

	while (poll(polls, 2, -1) > 0) {
		if (polls[0].revents) {
			n = copy(0, fd);
			if (n < 0)
				return 1;
			if (!n) {
				shutdown(fd, SHUT_WR);
				polls[0].fd = -1;
			}
		}
		if (polls[1].revents) {
			n = copy(fd, 1);
			if (n <= 0)
				return n < 0;
		}
	}
	return 1;
}
