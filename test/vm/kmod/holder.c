// SPDX-License-Identifier: MIT
/*
 * The agent's part toward /dev/smapp_convert, for tests and benchmarks: opens the device, gives it a listener, and
 * keeps it open until a signal ends it. SIGUSR1 prints the counters as JSON, SIGUSR2 the connections.
 *
 *   holder [-f FLAGS] [-c CONNECT_MS] [-i IDLE_MS] [-h HALF_MS] [-n CONNECTIONS] [-m MEMORY] [-t SYN_TABLE] [-r SYN_RATE]
 *          [-b SOCKET_BUFFER] LISTEN_ADDRESS PORT [ADDRESS PORT]
 *   holder misuse       gives the device what it must refuse, and prints how it did
 * Without the second address, clients go where they connected to (TPROXY). FLAGS as in smapp_convert.h.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../native/kmod/smapp_convert.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static const char *names[] = {
#define X(name) #name,
	SMAPP_STATS(X)
#undef X
};

static int device;

static void print_stats(void)
{
	struct smapp_stats stats = { .size = sizeof(stats) };
	const __u64 *values = &stats.size + 1;

	if (ioctl(device, SMAPP_IOC_STATS, &stats))
		perror("holder: stats");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		printf("%s\"%s\":%llu", i ? "," : "{", names[i], values[i]);
	printf("}\n");
}

static void refused(const char *what, unsigned long command, void *argument)
{
	int failed = ioctl(device, command, argument);

	printf("%s: %s\n", what, failed ? strerrorname_np(errno) : "taken");
}

static int misuse(void)
{
	struct smapp_listen listener = { .size = sizeof(listener), .fd = -1, .connect_ms = 1, .idle_ms = 1, .half_ms = 1 };
	struct smapp_pair pair = { .size = sizeof(pair), .connect_ms = 1, .idle_ms = 1, .half_ms = 1 };
	struct { struct smapp_limits limits; __u64 more; } newer = { { .size = sizeof(newer) }, 1 };
	int stream = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), ends[2];

	refused("no descriptor", SMAPP_IOC_LISTEN, &listener);
	listener.fd = 1;
	refused("no socket", SMAPP_IOC_LISTEN, &listener);
	listener.fd = udp;
	refused("UDP", SMAPP_IOC_LISTEN, &listener);
	listener.fd = stream;
	refused("not listening", SMAPP_IOC_LISTEN, &listener);
	if (listen(stream, 1))
		perror("listen");
	listener.flags = 1 << 31;
	refused("unknown flag", SMAPP_IOC_LISTEN, &listener);
	listener.flags = SMAPP_SYN_HOLD;
	refused("hold without open", SMAPP_IOC_LISTEN, &listener);
	listener.flags = 0;
	listener.idle_ms = 0;
	refused("no timeout", SMAPP_IOC_LISTEN, &listener);
	listener.size = 2;
	refused("short structure", SMAPP_IOC_LISTEN, &listener);
	refused("unknown field", SMAPP_IOC_LIMITS, &newer);
	refused("bad pointer", SMAPP_IOC_STATS, (void *)8);
	refused("unknown command", _IO('S', 1), NULL);
	pair.client = pair.server = stream;
	refused("one socket twice", SMAPP_IOC_PAIR, &pair);
	pair.server = udp;
	refused("TCP and UDP", SMAPP_IOC_PAIR, &pair);
	if (!socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) {
		pair.client = ends[0];
		pair.server = ends[1];
		refused("unix sockets", SMAPP_IOC_PAIR, &pair);
	}
	return 0;
}

static void print_connections(void)
{
	char buffer[4096];
	ssize_t n;

	lseek(device, 0, SEEK_SET);
	while ((n = read(device, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, n, stdout);
}

static void die(const char *what)
{
	fprintf(stderr, "holder: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void parse(const char *ip, int port, struct sockaddr_in6 *v6)
{
	struct in_addr v4;

	memset(v6, 0, sizeof(*v6));
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	if (inet_pton(AF_INET, ip, &v4) == 1) {
		v6->sin6_addr.s6_addr[10] = v6->sin6_addr.s6_addr[11] = 0xff;
		memcpy(&v6->sin6_addr.s6_addr[12], &v4, 4);
	} else if (inet_pton(AF_INET6, ip, &v6->sin6_addr) != 1) {
		die(ip);
	}
}

int main(int argc, char **argv)
{
	struct smapp_listen listener = { .size = sizeof(listener), .connect_ms = 5000, .idle_ms = 600000,
		.half_ms = 60000, .syn_table = 1024, .syn_rate = 100000 };
	struct smapp_limits limits = { .size = sizeof(limits), .connections = 65536, .memory = 256 << 20 };
	struct sockaddr_in6 address;
	sigset_t signals;
	int option, one = 1, number;

	while ((option = getopt(argc, argv, "f:c:i:h:n:m:t:r:b:")) != -1) {
		switch (option) {
		case 'f': listener.flags = atoi(optarg); break;
		case 'c': listener.connect_ms = atoi(optarg); break;
		case 'i': listener.idle_ms = atoi(optarg); break;
		case 'h': listener.half_ms = atoi(optarg); break;
		case 'n': limits.connections = atoi(optarg); break;
		case 'm': limits.memory = atoll(optarg); break;
		case 't': listener.syn_table = atoi(optarg); break;
		case 'r': listener.syn_rate = atoi(optarg); break;
		case 'b': listener.socket_buffer = atoi(optarg); break;
		default: return 2;
		}
	}
	device = open("/dev/smapp_convert", O_RDWR | O_CLOEXEC);
	if (device < 0)
		die("/dev/smapp_convert");
	if (argc - optind == 1 && !strcmp(argv[optind], "misuse"))
		return misuse();
	if (argc - optind < 2)
		return 2;
	parse(argv[optind], atoi(argv[optind + 1]), &address);
	listener.fd = socket(AF_INET6, SOCK_STREAM, IPPROTO_MPTCP);
	setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (setsockopt(listener.fd, SOL_IPV6, IPV6_TRANSPARENT, &one, sizeof(one)))
		die("IPV6_TRANSPARENT");
	if (listener.fd < 0 || bind(listener.fd, (void *)&address, sizeof(address)) || listen(listener.fd, 4096))
		die("listen");
	if (argc - optind > 3) {
		parse(argv[optind + 2], atoi(argv[optind + 3]), &address);
		memcpy(listener.destination.ip, &address.sin6_addr, 16);
		listener.destination.port = address.sin6_port;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (ioctl(device, SMAPP_IOC_LIMITS, &limits))
		die("limits");
	if (ioctl(device, SMAPP_IOC_LISTEN, &listener))
		die("listen ioctl");
	close(listener.fd);
	printf("up\n");
	fflush(stdout);
	while (!sigwait(&signals, &number)) {
		if (number == SIGUSR1)
			print_stats();
		else
			print_connections();
		fflush(stdout);
	}
}
