/* SPDX-License-Identifier: MIT */
/*
 * SYNs that were seen and whose clients were not accepted yet: a hash table of fixed size, and all its
 * entries in the order in which they came, which is the order in which they expire. Not thread-safe.
 */
#ifndef SMAPP_SYN_TABLE_H
#define SMAPP_SYN_TABLE_H

#include "syn.h"

struct syn_entry {
	struct syn_entry *next, **at;	       /* hash chain, or free list */
	struct syn_entry *younger, *older;     /* by age */
	struct syn syn;
	struct address destination;
	int fd;				       /* the server's side; -1: not opened */
	int error;			       /* positive errno: could not be had */
	uint64_t begun, connected;	       /* us */
	bool released;			       /* the SYN was given back to the stack */
	uint8_t *packet;		       /* SYN_OPEN_HOLD: the SYN, malloc'ed */
	size_t length;
};

struct syn_table {
	struct syn_entry *entries, *unused, *youngest, *oldest;
	struct syn_entry **buckets;
	unsigned int mask, count;
};

void syn_table_init(struct syn_table *table, unsigned int size);
struct syn_entry *syn_table_find(struct syn_table *table, const struct address *from, const struct address *to);
/* NULL when the table is full. */
struct syn_entry *syn_table_add(struct syn_table *table, const struct syn *syn);
/* Frees the packet; the socket is the caller's to close. */
void syn_table_remove(struct syn_table *table, struct syn_entry *entry);

/* A token bucket a source, in a table that forgets: sources that share a slot share their rate. */
struct syn_rates;
struct syn_rates *syn_rates_new(unsigned int a_second);
bool syn_rates_allow(struct syn_rates *rates, const struct in6_addr *source, uint64_t now_ms);

#endif
