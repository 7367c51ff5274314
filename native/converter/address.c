// SPDX-License-Identifier: MIT
#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool address_is_v4(const struct address *a)
{
	return !memcmp(a->ip.s6_addr, mapped, sizeof(mapped));
}

void address_from_v4(struct address *a, uint32_t ip_be, uint16_t port)
{
	memcpy(a->ip.s6_addr, mapped, sizeof(mapped));
	memcpy(a->ip.s6_addr + 12, &ip_be, 4);
	a->port = port;
}

void address_from_sockaddr(struct address *a, const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ss;

		a->ip = in6->sin6_addr;
		a->port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in = (const void *)ss;

		address_from_v4(a, in->sin_addr.s_addr, ntohs(in->sin_port));
	}
}

socklen_t address_to_sockaddr(const struct address *a, int family, struct sockaddr_storage *ss)
{
	if (family != AF_INET6 && address_is_v4(a)) {
		struct sockaddr_in *in = (void *)ss;

		*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(a->port) };
		memcpy(&in->sin_addr, a->ip.s6_addr + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)ss;

	*in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_addr = a->ip };
	return sizeof(*in6);
}

const char *address_text(const struct address *a, char out[ADDRESS_TEXT])
{
	char ip[INET6_ADDRSTRLEN];

	if (address_is_v4(a)) {
		inet_ntop(AF_INET, a->ip.s6_addr + 12, ip, sizeof(ip));
		snprintf(out, ADDRESS_TEXT, "%s:%u", ip, a->port);
	} else {
		inet_ntop(AF_INET6, &a->ip, ip, sizeof(ip));
		snprintf(out, ADDRESS_TEXT, "[%s]:%u", ip, a->port);
	}
	return out;
}

static bool parse_ip(const char *text, struct in6_addr *ip)
{
	struct in_addr v4;
	struct address a;

	if (inet_pton(AF_INET6, text, ip) == 1)
		return true;
	if (inet_pton(AF_INET, text, &v4) != 1)
		return false;
	address_from_v4(&a, v4.s_addr, 0);
	*ip = a.ip;
	return true;
}

bool address_parse(const char *text, struct address *a)
{
	char ip[INET6_ADDRSTRLEN + 2], *end;
	const char *colon = strrchr(text, ':');

	if (!colon || (size_t)(colon - text) >= sizeof(ip))
		return false;
	size_t length = colon - text;
	unsigned long port = strtoul(colon + 1, &end, 10);

	if (*end || end == colon + 1 || port > 65535)
		return false;
	if (length > 2 && text[0] == '[' && colon[-1] == ']') {
		text++;
		length -= 2;
	} else if (memchr(text, ':', length)) {
		return false;
	}
	memcpy(ip, text, length);
	ip[length] = 0;
	a->port = port;
	return parse_ip(ip, &a->ip);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->port == b->port && !memcmp(&a->ip, &b->ip, sizeof(a->ip));
}

bool prefix_parse(const char *text, struct prefix *p)
{
	char ip[INET6_ADDRSTRLEN], *end;
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);

	if (length >= sizeof(ip))
		return false;
	memcpy(ip, text, length);
	ip[length] = 0;
	if (!parse_ip(ip, &p->ip))
		return false;
	unsigned int most = strchr(ip, ':') ? 128 : 32;
	unsigned long bits = most;

	if (slash) {
		bits = strtoul(slash + 1, &end, 10);
		if (*end || end == slash + 1 || bits > most)
			return false;
	}
	p->bits = bits + 128 - most;
	return true;
}

bool prefix_holds(const struct prefix *p, const struct in6_addr *ip)
{
	unsigned int whole = p->bits / 8, rest = p->bits % 8;

	if (memcmp(&p->ip, ip, whole))
		return false;
	return !rest || !((p->ip.s6_addr[whole] ^ ip->s6_addr[whole]) & (0xff << (8 - rest)) & 0xff);
}
