// SPDX-License-Identifier: MIT
#include "syn_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define BUFFER (4 << 20)

struct program {
	struct sock_filter code[DOORS + 32];
	unsigned int length;
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	p->code[p->length++] = (struct sock_filter){ code, jt, jf, k };
}

/* Rejects unless A (masked) equals @k: the next two instructions. */
static void require(struct program *p, uint32_t k)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, k, 1, 0);
	emit(p, BPF_RET | BPF_K, 0, 0, 0);
}

/* SYN without ACK, to one of the doors' ports, unless we gave it back to the stack ourselves (marked). */
static void filter(const struct options *options, int family, struct program *p)
{
	const uint8_t flags = TH_SYN | TH_ACK | TH_RST | TH_FIN;

	p->length = 0;
	emit(p, BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MARK, 0, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, options->syn_mark, 0, 1);
	emit(p, BPF_RET | BPF_K, 0, 0, 0);
	if (family == AF_INET) {
		emit(p, BPF_LD | BPF_B | BPF_ABS, 9, 0, 0);
		require(p, IPPROTO_TCP);
		emit(p, BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0);
	} else {
		emit(p, BPF_LD | BPF_B | BPF_ABS, 6, 0, 0);
		require(p, IPPROTO_TCP);
		emit(p, BPF_LDX | BPF_W | BPF_IMM, 40, 0, 0);
	}
	emit(p, BPF_LD | BPF_B | BPF_IND, 13, 0, 0);
	emit(p, BPF_ALU | BPF_AND | BPF_K, flags, 0, 0);
	require(p, TH_SYN);
	emit(p, BPF_LD | BPF_H | BPF_IND, 2, 0, 0);
	for (unsigned int i = 0; i < options->door_count; i++)
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, options->doors[i].address.port, options->door_count - i, 0);
	emit(p, BPF_RET | BPF_K, 0, 0, 0);
	emit(p, BPF_RET | BPF_K, 65535, 0, 0);
}

int syn_socket(const struct options *options, int family)
{
	uint16_t protocol = htons(family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = protocol };
	struct program program;
	struct sock_fprog attach = { .filter = program.code };
	int size = BUFFER, fd;

	/* Protocol 0, so that nothing comes before the filter is there. */
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	filter(options, family, &program);
	attach.len = program.length;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attach, sizeof(attach)) ||
	    bind(fd, (struct sockaddr *)&all, sizeof(all))) {
		close(fd);
		return -1;
	}
	return fd;
}

int raw_socket(int family, unsigned int mark)
{
	int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
	int one = 1;

	if (fd < 0)
		return -1;
	if (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		goto fail;
	if (family == AF_INET6 && setsockopt(fd, SOL_IPV6, IPV6_HDRINCL, &one, sizeof(one)))
		goto fail;
	return fd;
fail:
	close(fd);
	return -1;
}

bool raw_send(int fd, const struct address *to, const void *packet, size_t length)
{
	struct sockaddr_storage at;
	struct address a = *to;
	socklen_t size;

	a.port = 0; /* IPv6 raw sockets take it for a protocol */
	size = address_to_sockaddr(&a, AF_UNSPEC, &at);
	return sendto(fd, packet, length, 0, (struct sockaddr *)&at, size) == (ssize_t)length;
}

unsigned int syn_socket_lost(int fd)
{
	struct tpacket_stats stats = { 0 };
	socklen_t length = sizeof(stats);

	return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length) ? 0 : stats.tp_drops;
}
