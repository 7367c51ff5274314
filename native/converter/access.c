// SPDX-License-Identifier: MIT
#include "access.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char *const special[] = {
	"0.0.0.0/8",	 "10.0.0.0/8",	  "100.64.0.0/10", "127.0.0.0/8",   "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24",	 "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4",   "240.0.0.0/4",    "::/96",
	"64:ff9b:1::/48", "100::/64",	  "2002::/16",	   "fc00::/7",	    "fe80::/10",      "fec0::/10",
	"ff00::/8",
};
#define SPECIALS (sizeof(special) / sizeof(special[0]))

static struct prefix special_prefixes[SPECIALS];
static pthread_once_t special_once = PTHREAD_ONCE_INIT;

static void special_parse(void)
{
	for (size_t i = 0; i < SPECIALS; i++)
		if (!prefix_parse(special[i], &special_prefixes[i]))
			abort();
}

static bool is_special(struct in6_addr ip)
{
	static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };

	pthread_once(&special_once, special_parse);
	if (!memcmp(&ip, nat64, sizeof(nat64))) { /* RFC 6052: the IPv4 address inside is what counts */
		struct address a;
		uint32_t v4;

		memcpy(&v4, ip.s6_addr + 12, 4);
		address_from_v4(&a, v4, 0);
		ip = a.ip;
	}
	for (size_t i = 0; i < SPECIALS; i++)
		if (prefix_holds(&special_prefixes[i], &ip))
			return true;
	return false;
}

static bool holds(const struct prefixes *in, const struct in6_addr *ip)
{
	for (size_t i = 0; i < in->count; i++)
		if (prefix_holds(&in->list[i], ip))
			return true;
	return false;
}

bool access_add(struct prefixes *to, const char *text)
{
	struct prefix *list = realloc(to->list, (to->count + 1) * sizeof(*list));

	if (!list)
		abort();
	to->list = list;
	return prefix_parse(text, &list[to->count]) && ++to->count;
}

bool access_source(const struct access *access, const struct in6_addr *source)
{
	return !access->sources.count || holds(&access->sources, source);
}

bool access_destination(const struct access *access, const struct in6_addr *destination, bool named)
{
	if (holds(&access->allow, destination))
		return true;
	return !holds(&access->deny, destination) && !(named && is_special(*destination));
}

/* Connections by source: a chained hash table, a lock for every bucket's chain. */
struct tally {
	struct tally *next;
	struct in6_addr ip;
	unsigned int count;
};

#define BUCKETS 4096
static struct {
	pthread_mutex_t lock;
	struct tally *first;
} buckets[BUCKETS] = { [0 ... BUCKETS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER } };

static unsigned int bucket_of(const struct in6_addr *ip)
{
	uint32_t w[4];

	memcpy(w, ip, sizeof(w));
	return ((w[0] ^ w[1] ^ w[2] ^ w[3]) * 2654435761u) >> 20;
}

bool access_enter(const struct access *access, const struct in6_addr *source)
{
	bool in = true;

	if (!access->per_source)
		return true;
	unsigned int b = bucket_of(source);

	pthread_mutex_lock(&buckets[b].lock);
	struct tally *t = buckets[b].first;

	while (t && memcmp(&t->ip, source, sizeof(*source)))
		t = t->next;
	if (!t && (t = calloc(1, sizeof(*t)))) {
		*t = (struct tally){ .next = buckets[b].first, .ip = *source };
		buckets[b].first = t;
	}
	if (t && t->count < access->per_source)
		t->count++;
	else
		in = false;
	pthread_mutex_unlock(&buckets[b].lock);
	return in;
}

void access_leave(const struct access *access, const struct in6_addr *source)
{
	if (!access->per_source)
		return;
	unsigned int b = bucket_of(source);

	pthread_mutex_lock(&buckets[b].lock);
	for (struct tally **at = &buckets[b].first; *at; at = &(*at)->next) {
		struct tally *t = *at;

		if (memcmp(&t->ip, source, sizeof(*source)))
			continue;
		if (!--t->count) {
			*at = t->next;
			free(t);
		}
		break;
	}
	pthread_mutex_unlock(&buckets[b].lock);
}
