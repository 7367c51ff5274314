/*
 * The traffic of the experiments. Every program prints lines that the lab reads; times are CLOCK_MONOTONIC
 * seconds, the same clock at both ends because all hosts live in one machine.
 *
 *   traffic sink PORT                                    one connection: "block N DELAY" for every block,
 *                                                        "done BYTES SECONDS" at its end
 *   traffic blocks TRANSPORT FROM TO PORT COUNT          a block of 64 KiB every second (SMAPP section 4.3)
 *   traffic bulk TRANSPORT FROM TO PORT BYTES            one long transfer (SMAPP section 4.4)
 *   traffic answer PORT                                  sends every request byte back
 *   traffic ask TRANSPORT FROM TO PORT IDLE COUNT        COUNT requests, each after IDLE seconds of silence:
 *                                                        "answer N SECONDS", or "error N ERRNO"
 * TRANSPORT is mptcp or tcp.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 65536
#define PROTOCOL_MPTCP 262

static char buffer[4 * BLOCK];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void sleep_until(double when)
{
	struct timespec time = { .tv_sec = when, .tv_nsec = (when - (time_t)when) * 1e9 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
		;
}

static struct sockaddr_in address(const char *ip, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, ip, &to.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", ip);
	return to;
}

static int accept_one(const char *port)
{
	struct sockaddr_in local = address("0.0.0.0", port);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, PROTOCOL_MPTCP), connection;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (void *)&local, sizeof(local)) || listen(listener, 5))
		err(1, "listen on %s", port);
	puts("ready");
	connection = accept(listener, NULL, NULL);
	if (connection < 0)
		err(1, "accept");
	return connection;
}

static int connect_from(char **args)
{
	struct sockaddr_in local = address(args[1], "0"), remote = address(args[2], args[3]);
	int connection = socket(AF_INET, SOCK_STREAM, strcmp(args[0], "tcp") ? PROTOCOL_MPTCP : IPPROTO_TCP);

	if (bind(connection, (void *)&local, sizeof(local)))
		err(1, "bind to %s", args[1]);
	if (connect(connection, (void *)&remote, sizeof(remote)))
		err(1, "connect to %s", args[2]);
	printf("connected %.6f\n", now());
	return connection;
}

static void write_all(int connection, const char *from, size_t length)
{
	while (length > 0) {
		ssize_t written = write(connection, from, length);

		if (written < 0)
			err(1, "write");
		from += written;
		length -= written;
	}
}

/* Waits until the peer has read everything and closed. */
static void finish(int connection)
{
	char rest[16];

	shutdown(connection, SHUT_WR);
	while (read(connection, rest, sizeof(rest)) > 0)
		;
}

/* Each block starts with the time at which it was due to be sent. */
static void sink(const char *port)
{
	int connection = accept_one(port);
	double start = now(), due = 0;
	char header[sizeof(due)];
	uint64_t total = 0;
	ssize_t length;

	while ((length = read(connection, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < length;) {
			uint64_t offset = (total + at) % BLOCK;
			ssize_t left = BLOCK - offset;

			if (offset < sizeof(header)) {
				header[offset] = buffer[at++];
				if (offset + 1 == sizeof(header))
					memcpy(&due, header, sizeof(due));
				continue;
			}
			if (left > length - at)
				break;
			at += left;
			if (due > 0)
				printf("block %llu %.6f\n", (unsigned long long)((total + at) / BLOCK), now() - due);
		}
		total += length;
	}
	if (length < 0)
		err(1, "read");
	printf("done %llu %.6f\n", (unsigned long long)total, now() - start);
}

static void blocks(char **args)
{
	int connection = connect_from(args), count = atoi(args[4]);
	double start = now();

	for (int i = 0; i < count; i++) {
		double due = start + i;

		sleep_until(due);
		memcpy(buffer, &due, sizeof(due));
		write_all(connection, buffer, BLOCK);
	}
	finish(connection);
}

static void bulk(char **args)
{
	int connection = connect_from(args);

	for (uint64_t left = strtoull(args[4], NULL, 10); left > 0;) {
		size_t length = left < sizeof(buffer) ? left : sizeof(buffer);

		write_all(connection, buffer, length);
		left -= length;
	}
	finish(connection);
}

static void answer(const char *port)
{
	int connection = accept_one(port);
	ssize_t length;

	while ((length = read(connection, buffer, sizeof(buffer))) > 0)
		write_all(connection, buffer, length);
}

static void ask(char **args)
{
	int connection = connect_from(args), count = atoi(args[5]), one = 1;

	setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* First exchanges establish the connection and give the kernel its round-trip time, and us. */
	for (int i = 0; i < 10; i++) {
		double start = now();

		if (write(connection, "?", 1) != 1 || read(connection, buffer, 1) != 1)
			err(1, "first exchange");
		printf("exchange %.6f\n", now() - start);
	}
	for (int i = 0; i < count; i++) {
		double start;

		sleep_until(now() + atof(args[4]));
		start = now();
		printf("asked %.6f\n", start);
		if (write(connection, "?", 1) != 1 || read(connection, buffer, 1) != 1) {
			printf("error %d %d\n", i, errno);
			return;
		}
		printf("answer %d %.6f\n", i, now() - start);
	}
	finish(connection);
}

int main(int count, char **args)
{
	static const struct {
		const char *name;
		int arguments;
		void (*serve)(const char *port);
		void (*run)(char **args);
	} programs[] = {
		{ "sink", 1, sink, NULL },     { "answer", 1, answer, NULL }, { "blocks", 5, NULL, blocks },
		{ "bulk", 5, NULL, bulk },     { "ask", 6, NULL, ask },
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; count > 1 && i < sizeof(programs) / sizeof(*programs); i++) {
		if (strcmp(args[1], programs[i].name) || count - 2 != programs[i].arguments)
			continue;
		if (programs[i].serve)
			programs[i].serve(args[2]);
		else
			programs[i].run(args + 2);
		return 0;
	}
	errx(2, "usage: see the top of traffic.c");
}
