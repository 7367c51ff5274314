/* SPDX-License-Identifier: MIT */
/*
 * A client's connection and the one to its server. States, in order:
 *   REQUEST  waiting for the client to name the server (explicit mode)
 *   CONNECT  the connection to the server is being opened
 *   RELAY    bytes go both ways
 *   ANSWER   the server cannot be had: an error message goes to the client, then its end
 * Ends in order when both sides have ended and everything is passed on; or at once, with a reset to the
 * side that does not know yet.
 */
#ifndef SMAPP_PAIR_H
#define SMAPP_PAIR_H

#include "loop.h"

#include <sys/types.h>

struct end {
	struct source source;
	bool readable; /* there may be bytes, or the end */
	bool writable; /* there may be room */
	bool ending;   /* the peer has sent its end: read until it is found */
	bool prompt;   /* TCP_NODELAY is set */
	bool early;    /* accepted before the handshake's third packet, as with Fast Open */
};

/* One direction. */
struct flow {
	uint64_t bytes;
	char *held; /* what the destination had no room for; NULL when nothing is held */
	uint32_t offset, length;
	bool ended;  /* the source has sent its end */
	bool closed; /* and the destination was told */
};

struct pair {
	struct end client, server;
	struct flow up, down; /* client to server, server to client */
	struct loop *loop;
	const struct door *door;
	struct pair *next, **at; /* loop->pairs */
	struct pair *queue;	 /* loop->ready, loop->dead */
	bool queued;		 /* in one of the two */
	enum { PAIR_REQUEST, PAIR_CONNECT, PAIR_RELAY, PAIR_ANSWER, PAIR_DEAD } state;
	bool convert;	/* the client awaits RFC 8803 answers */
	bool convert_info; /* and wants to know what is supported */
	bool syn_timed; /* opened at SYN time */
	struct timer timer;
	uint64_t since, active; /* ms */
	uint64_t begun;		/* us: when the client was accepted, or its SYN seen */
	uint32_t open_us;
	struct address peer, destination;
};

/* A client was accepted. Owns @fd from here on, whatever happens. */
void pair_accept(struct loop *loop, const struct door *door, int fd, const struct sockaddr_storage *peer);
/* An event, or another turn. */
void pair_event(struct pair *pair, struct end *end, uint32_t events);
void pair_run(struct pair *pair);
/* Opens the connection to pair->destination. */
void pair_connect(struct pair *pair);
/* An error message was sent: ends the connection when the client has it. Resets it when it was not @sent. */
void pair_answered(struct pair *pair, bool sent);
/* The loop's timers. */
void pair_timer(struct timer *timer, void *loop);
/* Ends both sides: with a reset (@abort), or in order. */
void pair_close(struct pair *pair, bool abort);
void pair_touch(struct pair *pair);

/* relay.c: moves what can be moved. Returns the end whose socket failed, or NULL. */
struct end *relay(struct pair *pair);

#endif
