// SPDX-License-Identifier: MIT
#include "syn_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define RATE_SLOTS 16384

static uint32_t hash(const void *bytes, size_t length, uint32_t seed)
{
	const uint8_t *at = bytes;

	while (length--)
		seed = (seed ^ *at++) * 16777619u;
	return seed ^ seed >> 15;
}

/* Clients choose their addresses and ports, but not the seed. */
static uint32_t seed(void)
{
	static uint32_t value;

	while (!value && getrandom(&value, sizeof(value), 0) < 0)
		;
	return value | 1;
}

static struct syn_entry **bucket(struct syn_table *table, const struct address *from, const struct address *to)
{
	uint32_t h = hash(&from->ip, 16, seed());

	h = hash(&to->ip, 16, h);
	h = hash(&from->port, 2, h);
	return &table->buckets[hash(&to->port, 2, h) & table->mask];
}

void syn_table_init(struct syn_table *table, unsigned int size)
{
	unsigned int buckets = 64;

	while (buckets < size)
		buckets *= 2;
	table->mask = buckets - 1;
	table->buckets = calloc(buckets, sizeof(*table->buckets));
	table->entries = calloc(size, sizeof(*table->entries));
	if (!table->buckets || !table->entries)
		abort();
	for (unsigned int i = 0; i < size; i++) {
		table->entries[i].next = table->unused;
		table->unused = &table->entries[i];
	}
}

struct syn_entry *syn_table_find(struct syn_table *table, const struct address *from, const struct address *to)
{
	struct syn_entry *entry = *bucket(table, from, to);

	while (entry && !(address_equal(&entry->syn.from, from) && address_equal(&entry->syn.to, to)))
		entry = entry->next;
	return entry;
}

struct syn_entry *syn_table_add(struct syn_table *table, const struct syn *syn)
{
	struct syn_entry *entry = table->unused, **at;

	if (!entry)
		return NULL;
	table->unused = entry->next;
	at = bucket(table, &syn->from, &syn->to);
	*entry = (struct syn_entry){ .next = *at, .at = at, .syn = *syn, .fd = -1, .older = table->youngest };
	if (entry->next)
		entry->next->at = &entry->next;
	*at = entry;
	if (entry->older)
		entry->older->younger = entry;
	else
		table->oldest = entry;
	table->youngest = entry;
	table->count++;
	return entry;
}

void syn_table_remove(struct syn_table *table, struct syn_entry *entry)
{
	*entry->at = entry->next;
	if (entry->next)
		entry->next->at = entry->at;
	if (entry->older)
		entry->older->younger = entry->younger;
	else
		table->oldest = entry->younger;
	if (entry->younger)
		entry->younger->older = entry->older;
	else
		table->youngest = entry->older;
	entry->fd = -1; /* an event for it may be on its way */
	free(entry->packet);
	entry->packet = NULL;
	entry->next = table->unused;
	table->unused = entry;
	table->count--;
}

struct syn_rates {
	unsigned int a_second;
	struct {
		uint64_t at; /* ms */
		uint32_t tokens; /* thousandths */
	} slots[RATE_SLOTS];
};

struct syn_rates *syn_rates_new(unsigned int a_second)
{
	struct syn_rates *rates = calloc(1, sizeof(*rates));

	if (!rates)
		abort();
	rates->a_second = a_second;
	return rates;
}

bool syn_rates_allow(struct syn_rates *rates, const struct in6_addr *source, uint64_t now_ms)
{
	/* An IPv6 client has a whole /64 to forge addresses from. */
	uint32_t i = hash(source, source->s6_addr32[0] ? 8 : 16, seed()) % RATE_SLOTS;
	uint64_t most = rates->a_second * 1000ull, tokens;

	tokens = rates->slots[i].tokens + (now_ms - rates->slots[i].at) * rates->a_second;
	if (!rates->slots[i].at || tokens > most)
		tokens = most;
	rates->slots[i].at = now_ms;
	rates->slots[i].tokens = tokens < 1000 ? tokens : tokens - 1000;
	return tokens >= 1000;
}
