/*
 * Records what leaves a host by which interface: for every outgoing TCP segment a line "TIME INTERFACE DSN
 * LENGTH", with CLOCK_MONOTONIC seconds, the low 32 bits of its MPTCP data sequence number (RFC 8684 section
 * 3.3; "-" when it carries no mapping), and the length of its data.
 *
 *   trace FILE INTERFACE...
 */
#include <arpa/inet.h>
#include <err.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define OPTION_MPTCP 30
#define SUBTYPE_DSS 2
#define INTERFACES 8

/* First sequence numbers of the subflows seen, by source port. */
static uint32_t first_sequence[65536];

/*
 * The data sequence number of a segment, low 32 bits, from its DSS option. A mapping may cover many segments, all
 * of which carry it, so a segment's place in it follows from its place in the subflow. False without a mapping.
 */
static bool mapped(const uint8_t *option, int length, uint32_t subflow_sequence, uint32_t *sequence)
{
	int flags = option[3], ack = flags & 1 ? (flags & 2 ? 8 : 4) : 0, size = flags & 8 ? 8 : 4;
	uint32_t data, subflow;

	if (!(flags & 4) || 4 + ack + size + 4 > length)
		return false;
	memcpy(&data, option + 4 + ack + size - 4, 4);
	memcpy(&subflow, option + 4 + ack + size, 4);
	*sequence = ntohl(data) + subflow_sequence - ntohl(subflow);
	return true;
}

static bool data_sequence(const struct tcphdr *tcp, uint32_t *sequence)
{
	const uint8_t *option = (const uint8_t *)(tcp + 1), *end = (const uint8_t *)tcp + tcp->doff * 4;
	uint32_t subflow_sequence = ntohl(tcp->seq) - first_sequence[ntohs(tcp->source)];

	for (; option < end && *option; option += *option == 1 ? 1 : option[1]) {
		if (*option == 1)
			continue;
		if (option + 2 > end || option[1] < 2 || option + option[1] > end)
			return false;
		if (*option == OPTION_MPTCP && option[1] >= 4 && option[2] >> 4 == SUBTYPE_DSS)
			return mapped(option, option[1], subflow_sequence, sequence);
	}
	return false;
}

static void record(FILE *file, const char *interface, const uint8_t *packet, ssize_t length)
{
	const struct iphdr *ip = (const void *)packet;
	const struct tcphdr *tcp = (const void *)(packet + ip->ihl * 4);
	struct timespec time;
	uint32_t sequence;
	int data;

	if (length < (ssize_t)sizeof(*ip) || ip->protocol != IPPROTO_TCP)
		return;
	data = ntohs(ip->tot_len) - ip->ihl * 4 - tcp->doff * 4;
	if (data < 0 || (const uint8_t *)tcp + tcp->doff * 4 > packet + length)
		return;
	if (tcp->syn)
		first_sequence[ntohs(tcp->source)] = ntohl(tcp->seq);
	clock_gettime(CLOCK_MONOTONIC, &time);
	fprintf(file, "%.6f %s ", time.tv_sec + time.tv_nsec / 1e9, interface);
	if (data_sequence(tcp, &sequence))
		fprintf(file, "%u %d\n", sequence, data);
	else
		fprintf(file, "- %d\n", data);
}

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

int main(int count, char **args)
{
	struct pollfd sockets[INTERFACES];
	int interfaces = count - 2;
	FILE *file;

	if (interfaces < 1 || interfaces > INTERFACES)
		errx(2, "usage: trace FILE INTERFACE...");
	file = fopen(args[1], "w");
	if (!file)
		err(1, "%s", args[1]);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = stop }, NULL);
	for (int i = 0; i < interfaces; i++) {
		struct sockaddr_ll on = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

		int room = 16 << 20; /* a burst must not be lost */

		on.sll_ifindex = if_nametoindex(args[2 + i]);
		sockets[i] = (struct pollfd){ .fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL)), .events = POLLIN };
		setsockopt(sockets[i].fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		if (!on.sll_ifindex || bind(sockets[i].fd, (void *)&on, sizeof(on)))
			err(1, "%s", args[2 + i]);
	}
	puts("ready");
	fflush(stdout);
	while (!stopped && poll(sockets, interfaces, -1) >= 0) {
		for (int i = 0; i < interfaces; i++) {
			static uint8_t packet[256];
			struct sockaddr_ll from;
			socklen_t size = sizeof(from);
			ssize_t length = recvfrom(sockets[i].fd, packet, sizeof(packet), MSG_DONTWAIT, (void *)&from, &size);

			if (length > 0 && from.sll_pkttype == PACKET_OUTGOING && ntohs(from.sll_protocol) == ETH_P_IP)
				record(file, args[2 + i], packet, length);
		}
	}
	fclose(file);
	return 0;
}
