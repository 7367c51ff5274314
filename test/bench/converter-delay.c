// SPDX-License-Identifier: MIT
/*
 * converter-delay A B MICROSECONDS: a wire between two interfaces that takes its time, each way, for kernels
 * without netem. Offloads pass through: frames travel with their virtio header (PACKET_VNET_HDR).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FRAME 66000
#define QUEUE 8192

struct frame {
	struct frame *next;
	unsigned long long due; /* us */
	size_t length;
	char bytes[];
};

static struct way {
	int from, to;
	struct frame *first, **last;
	unsigned int count;
} ways[2];

static unsigned long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

static int open_interface(const char *name)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(name) };
	struct packet_mreq everything = { .mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC };
	int one = 1, size = 16 << 20, fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &everything, sizeof(everything));
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) || bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		perror(name);
		exit(1);
	}
	return fd;
}

static void take(struct way *w, unsigned long long delay)
{
	static char bytes[FRAME];
	ssize_t n;

	while ((n = read(w->from, bytes, sizeof(bytes))) > 0) {
		struct frame *f = w->count < QUEUE ? malloc(sizeof(*f) + n) : NULL;

		if (!f)
			continue; /* a full queue drops, as a router's does */
		*f = (struct frame){ .due = now() + delay, .length = n };
		memcpy(f->bytes, bytes, n);
		*w->last = f;
		w->last = &f->next;
		w->count++;
	}
}

static void pass(struct way *w)
{
	while (w->first && w->first->due <= now()) {
		struct frame *f = w->first;

		if (write(w->to, f->bytes, f->length) < 0)
			perror("converter-delay: write");
		w->first = f->next;
		if (!w->first)
			w->last = &w->first;
		w->count--;
		free(f);
	}
}

int main(int argc, char **argv)
{
	unsigned long long delay;

	if (argc != 4)
		return 2;
	ways[0].from = ways[1].to = open_interface(argv[1]);
	ways[1].from = ways[0].to = open_interface(argv[2]);
	ways[0].last = &ways[0].first;
	ways[1].last = &ways[1].first;
	delay = strtoull(argv[3], NULL, 0);
	puts("{\"ready\":true}");
	fflush(stdout);
	for (;;) {
		struct pollfd polls[2] = { { .fd = ways[0].from, .events = POLLIN }, { .fd = ways[1].from, .events = POLLIN } };
		unsigned long long at = now(), due = at + 1000000;
		struct timespec t;

		for (int i = 0; i < 2; i++)
			if (ways[i].first && ways[i].first->due < due)
				due = ways[i].first->due;
		due = due > at ? due - at : 0;
		t = (struct timespec){ due / 1000000, due % 1000000 * 1000 };
		ppoll(polls, 2, &t, NULL);
		for (int i = 0; i < 2; i++) {
			take(&ways[i], delay);
			pass(&ways[i]);
		}
	}
}
