/* SPDX-License-Identifier: MIT */
/*
 * An IP address and port in 20 bytes, IPv4 as v4-mapped IPv6, so that one comparison, one hash and one
 * prefix match serve both families.
 */
#ifndef SMAPP_ADDRESS_H
#define SMAPP_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	struct in6_addr ip;
	uint16_t port; /* host order */
};

/* "1.2.3.4:80" or "[::1]:80" and a terminating zero. */
#define ADDRESS_TEXT (INET6_ADDRSTRLEN + 8)

bool address_is_v4(const struct address *a);
void address_from_v4(struct address *a, uint32_t ip_be, uint16_t port);
void address_from_sockaddr(struct address *a, const struct sockaddr_storage *ss);
/* Returns the length. A v4 address becomes AF_INET, unless @family is AF_INET6. */
socklen_t address_to_sockaddr(const struct address *a, int family, struct sockaddr_storage *ss);
const char *address_text(const struct address *a, char out[ADDRESS_TEXT]);
/* "ADDRESS:PORT", "[V6]:PORT". Returns false when @text is no such thing. */
bool address_parse(const char *text, struct address *a);
bool address_equal(const struct address *a, const struct address *b);

struct prefix {
	struct in6_addr ip;
	uint8_t bits; /* of 128, so 96 more for IPv4 */
};

/* "10.0.0.0/8", "fc00::/7", or an address alone. */
bool prefix_parse(const char *text, struct prefix *p);
bool prefix_holds(const struct prefix *p, const struct in6_addr *ip);

#endif
