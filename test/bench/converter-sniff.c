// SPDX-License-Identifier: MIT
/*
 * converter-sniff CLIENT_SIDE SERVER_SIDE: how long packets take from one interface to the other, by the
 * kernel's own timestamps, for connections that come one after another (HotMiddlebox'13, table 1). Until the
 * end of standard input; then one JSON object with a list in microseconds for
 *	syn      the client's SYN in, the SYN toward the server out
 *	synack   the server's SYN/ACK in, the one toward the client out (forwarding and held SYNs only)
 *	up, down data of at least 1000 bytes
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 100000
#define SOME_DATA 1000

static struct kind {
	const char *name;
	double in; /* 0: none is on its way */
	double us[MOST];
	int count;
} syn = { .name = "syn" }, synack = { .name = "synack" }, up = { .name = "up" }, down = { .name = "down" };

static int open_interface(const char *name)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(name) };
	int one = 1, size = 32 << 20, fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		perror(name);
		exit(1);
	}
	return fd;
}

static struct sight {
	double at;
	struct kind *kind;
	bool in;
} *sights;
static int sight_count;

static void see(struct kind *kind, bool in, double at)
{
	if (sight_count < 8 * MOST)
		sights[sight_count++] = (struct sight){ at, kind, in };
}

static int by_time(const void *a, const void *b)
{
	double x = ((const struct sight *)a)->at, y = ((const struct sight *)b)->at;

	return x < y ? -1 : x > y;
}

static void match(struct kind *kind, bool comes_in, double at)
{
	if (comes_in) {
		kind->in = at;
	} else if (kind->in && kind->count < MOST) {
		kind->us[kind->count++] = (at - kind->in) * 1e6;
		kind->in = 0;
	}
}

static void packet(const unsigned char *bytes, size_t length, bool client_side, bool outgoing, double at)
{
	const struct ip *ip = (const void *)bytes;
	const struct tcphdr *tcp = (const void *)(bytes + ip->ip_hl * 4);
	size_t data;

	if (length < 40 || ip->ip_v != 4 || ip->ip_p != IPPROTO_TCP)
		return;
	data = ntohs(ip->ip_len) - ip->ip_hl * 4 - tcp->th_off * 4;
	/* Upward: in at the client's side, out at the server's. */
	if (tcp->th_flags & TH_SYN) {
		if (!(tcp->th_flags & TH_ACK) && client_side != outgoing)
			see(&syn, client_side, at);
		else if (tcp->th_flags & TH_ACK && client_side == outgoing)
			see(&synack, !client_side, at);
	} else if (data >= SOME_DATA) {
		see(client_side != outgoing ? &up : &down, !outgoing, at);
	}
}

static void drain(int fd, bool client_side)
{
	static unsigned char bytes[128];

	for (;;) {
		char room[128];
		struct sockaddr_ll from;
		struct iovec iov = { bytes, sizeof(bytes) };
		struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1,
				    .msg_control = room, .msg_controllen = sizeof(room) };
		ssize_t n = recvmsg(fd, &m, 0);
		struct timespec t = { 0 };

		if (n < 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (c->cmsg_type == SCM_TIMESTAMPNS)
				memcpy(&t, CMSG_DATA(c), sizeof(t));
		packet(bytes, n, client_side, from.sll_pkttype == PACKET_OUTGOING, t.tv_sec % 100000 + t.tv_nsec / 1e9);
	}
}

int main(int argc, char **argv)
{
	struct kind *kinds[] = { &syn, &synack, &up, &down };
	int fds[2];
	char byte;

	if (argc != 3 || !(sights = calloc(8 * MOST, sizeof(*sights))))
		return 2;
	for (int i = 0; i < 2; i++)
		fds[i] = open_interface(argv[i + 1]);
	puts("{\"ready\":true}");
	fflush(stdout);
	/* Read at the end, so that looking does not disturb: the buffers hold it all. */
	while (read(0, &byte, 1) > 0)
		;
	for (int i = 0; i < 2; i++)
		drain(fds[i], i == 0);
	qsort(sights, sight_count, sizeof(*sights), by_time);
	for (int i = 0; i < sight_count; i++)
		match(sights[i].kind, sights[i].in, sights[i].at);
	printf("{");
	for (int k = 0; k < 4; k++) {
		printf("%s\"%s\":[", k ? "," : "", kinds[k]->name);
		for (int i = 0; i < kinds[k]->count; i++)
			printf("%s%.2f", i ? "," : "", kinds[k]->us[i]);
		printf("]");
	}
	puts("}");
}
