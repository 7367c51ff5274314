/* SPDX-License-Identifier: MIT */
/*
 * Who may use the converter, and to reach what. A client must not gain reach through us that routing
 * did not give it: unless the policy allows them, destinations that a client names itself (explicit
 * modes) may not be loopback, link-local, private, or otherwise special (RFC 6890, IANA registries).
 */
#ifndef SMAPP_ACCESS_H
#define SMAPP_ACCESS_H

#include "address.h"

#include <stddef.h>

struct prefixes {
	struct prefix *list;
	size_t count;
};

struct access {
	struct prefixes sources; /* none: everybody */
	struct prefixes allow;	 /* destinations allowed before anything else is looked at */
	struct prefixes deny;	 /* further destinations refused, in every mode */
	unsigned int per_source; /* connections of one source address at a time; 0: no limit */
};

/* Returns false when @text is no prefix. */
bool access_add(struct prefixes *to, const char *text);
bool access_source(const struct access *access, const struct in6_addr *source);
/* @named: the client named this destination, rather than being routed to it. */
bool access_destination(const struct access *access, const struct in6_addr *destination, bool named);

/* Counts the connections of a source. Returns false, and counts nothing, when it has too many. Thread-safe. */
bool access_enter(const struct access *access, const struct in6_addr *source);
void access_leave(const struct access *access, const struct in6_addr *source);

#endif
