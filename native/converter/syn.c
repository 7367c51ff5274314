// SPDX-License-Identifier: MIT
#include "syn.h"

#include "dst_opt.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#define MPTCP_KIND 30
#define MPTCP_JOIN 1

static uint16_t get16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static void read_option(struct syn *syn, const uint8_t *option, size_t length)
{
	if (option[0] == MPTCP_KIND && length >= 3 && option[2] >> 4 == MPTCP_JOIN) {
		syn->join = true;
	} else if (option[0] == DST_OPT_KIND && length >= 6 && get16(option + 2) == DST_OPT_ID) {
		uint32_t v4;

		if (length == DST_OPT_V4) {
			memcpy(&v4, option + 6, 4);
			address_from_v4(&syn->destination, v4, get16(option + 4));
		} else if (length == DST_OPT_V6 && !address_is_v4(&syn->to)) {
			memcpy(syn->destination.ip.s6_addr, option + 6, 8);
			memcpy(syn->destination.ip.s6_addr + 8, syn->to.ip.s6_addr + 8, 8);
			syn->destination.port = get16(option + 4);
		}
		syn->names_destination = syn->destination.port;
	}
}

static void read_options(struct syn *syn, const uint8_t *at, size_t length)
{
	while (length && *at != TCPOPT_EOL) {
		size_t size = *at == TCPOPT_NOP ? 1 : length >= 2 ? at[1] : 0;

		if (size < 1 || size > length || (*at != TCPOPT_NOP && size < 2))
			return; /* as the kernel does: what follows is not looked at */
		if (*at != TCPOPT_NOP)
			read_option(syn, at, size);
		at += size;
		length -= size;
	}
}

/* Where the TCP header begins; 0 when there is none. Fills in the IP addresses, when asked to. */
static size_t read_ip(const uint8_t *packet, size_t length, struct syn *syn)
{
	const struct ip *ip = (const void *)packet;
	const struct ip6_hdr *ip6 = (const void *)packet;
	size_t header;

	if (length < sizeof(*ip))
		return 0;
	if (packet[0] >> 4 == 4) {
		header = (packet[0] & 15) * 4;
		if (header < sizeof(*ip) || ip->ip_p != IPPROTO_TCP || ntohs(ip->ip_off) & (IP_MF | IP_OFFMASK))
			return 0;
		if (syn) {
			address_from_v4(&syn->from, ip->ip_src.s_addr, 0);
			address_from_v4(&syn->to, ip->ip_dst.s_addr, 0);
		}
		return header;
	}
	if (packet[0] >> 4 != 6 || length < sizeof(*ip6) || ip6->ip6_nxt != IPPROTO_TCP)
		return 0;
	if (syn) {
		syn->from.ip = ip6->ip6_src;
		syn->to.ip = ip6->ip6_dst;
	}
	return sizeof(*ip6);
}

bool syn_parse(const uint8_t *packet, size_t length, struct syn *syn)
{
	size_t at, header;

	memset(syn, 0, sizeof(*syn));
	at = read_ip(packet, length, syn);
	if (!at || length < at + 20)
		return false;
	const uint8_t *tcp = packet + at;

	header = (tcp[12] >> 4) * 4;
	if (header < 20 || length < at + header || (tcp[13] & (TH_SYN | TH_ACK | TH_RST | TH_FIN)) != TH_SYN)
		return false;
	syn->from.port = get16(tcp);
	syn->to.port = get16(tcp + 2);
	syn->sequence = (uint32_t)get16(tcp + 4) << 16 | get16(tcp + 6);
	read_options(syn, tcp + 20, header - 20);
	return true;
}

static uint32_t sum16(uint32_t sum, const uint8_t *bytes, size_t length)
{
	for (; length > 1; bytes += 2, length -= 2)
		sum += get16(bytes);
	return length ? sum + (*bytes << 8) : sum;
}

/* Of a TCP segment of @length at @tcp; @addresses are both IP addresses, one after the other (RFC 9293, section 3.1). */
static void tcp_checksum(const uint8_t *addresses, size_t address_bytes, uint8_t *tcp, size_t length)
{
	uint32_t sum = sum16(IPPROTO_TCP + length, addresses, address_bytes);

	tcp[16] = tcp[17] = 0;
	sum = sum16(sum, tcp, length);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum;
	tcp[16] = sum >> 8;
	tcp[17] = sum;
}

void syn_checksum(uint8_t *packet, size_t length)
{
	size_t at = read_ip(packet, length, NULL);

	if (!at || length < at + 20)
		return;
	if (packet[0] >> 4 == 4)
		tcp_checksum(packet + offsetof(struct ip, ip_src), 8, packet + at, length - at);
	else
		tcp_checksum(packet + offsetof(struct ip6_hdr, ip6_src), 32, packet + at, length - at);
}

size_t syn_refusal(const struct syn *syn, uint8_t out[RESET_BYTES])
{
	const uint32_t ack = htonl(syn->sequence + 1);
	bool v4 = address_is_v4(&syn->from);
	size_t at = v4 ? sizeof(struct ip) : sizeof(struct ip6_hdr);
	struct ip *ip = (void *)out;
	struct ip6_hdr *ip6 = (void *)out;
	uint8_t *tcp = out + at;

	memset(out, 0, RESET_BYTES);
	if (v4) {
		*ip = (struct ip){ .ip_v = 4, .ip_hl = 5, .ip_ttl = 64, .ip_p = IPPROTO_TCP, .ip_len = htons(at + 20) };
		memcpy(&ip->ip_src, syn->to.ip.s6_addr + 12, 4);
		memcpy(&ip->ip_dst, syn->from.ip.s6_addr + 12, 4);
	} else {
		ip6->ip6_flow = htonl(6 << 28);
		ip6->ip6_plen = htons(20);
		ip6->ip6_nxt = IPPROTO_TCP;
		ip6->ip6_hlim = 64;
		ip6->ip6_src = syn->to.ip;
		ip6->ip6_dst = syn->from.ip;
	}
	tcp[0] = syn->to.port >> 8;
	tcp[1] = syn->to.port;
	tcp[2] = syn->from.port >> 8;
	tcp[3] = syn->from.port;
	memcpy(tcp + 8, &ack, 4);
	tcp[12] = 5 << 4;
	tcp[13] = TH_RST | TH_ACK;
	syn_checksum(out, at + 20);
	return at + 20;
}
