/* SPDX-License-Identifier: MIT */
/*
 * One thread: an edge-triggered epoll loop with listeners of its own (SO_REUSEPORT), the connections
 * that they accepted, and a timer wheel. A connection never changes its thread.
 */
#ifndef SMAPP_LOOP_H
#define SMAPP_LOOP_H

#include "options.h"
#include "server.h"
#include "stats.h"
#include "wheel.h"

#include <pthread.h>

struct pair;

/* What epoll gives back. */
struct source {
	enum { SOURCE_LISTENER, SOURCE_CLIENT, SOURCE_SERVER, SOURCE_WAKE } kind;
	int fd;
};

struct listener {
	struct source source;
	const struct door *door;
	bool more; /* accept queue not emptied yet */
};

struct loop {
	const struct options *options;
	struct listener listeners[DOORS];
	int epoll;
	struct source wake; /* eventfd: look at `drain` */
	pthread_t thread;
	uint64_t now; /* ms, as of the last wake-up */
	struct wheel wheel;
	char *batch; /* options->batch bytes, shared by all connections of the thread */
	struct pair *ready, **ready_tail; /* connections with more to do than one turn allows */
	struct pair *dead;		  /* freed after the events at hand, which may still point to them */
	struct probe probe;
	bool no_files;			  /* accept ran out of descriptors: try again at the next tick */

	pthread_mutex_t lock; /* guards the list, for the thread that prints it */
	struct pair *pairs;

	bool drain; /* atomic */
	struct stats stats;
};

void loop_start(struct loop *loop);
/* From another thread: stop accepting, end when the last connection has ended. */
void loop_drain(struct loop *loop);
void loop_watch(struct loop *loop, struct source *source, uint32_t events);
/* For a socket that lives on when we close it. */
void loop_forget(struct loop *loop, const struct source *source);
/* Runs the pair again after the events at hand. */
void loop_again(struct loop *loop, struct pair *pair);

uint64_t now_ms(void);
uint64_t now_us(void);

#endif
