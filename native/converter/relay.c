// SPDX-License-Identifier: MIT
/*
 * Moves bytes. recv() and send() of batches through one buffer a thread: on MPTCP sockets this
 * costs less than splice(2), whose pages the kernel allocates for every call (docs: converter.md).
 * Only what a destination has no room for is kept, and its source is not read until it is gone.
 */
#include "pair.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

/* Batches for one connection before the others get their turn. */
#define TURN 4

/* Nagle's algorithm holds nothing back before the second send, which many connections never see. */
static void make_prompt(struct end *end)
{
	int one = 1;

	setsockopt(end->source.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	end->prompt = true;
}

/* Returns false when the socket failed. Else all was sent, or the socket is full and !to->writable. */
static bool push(struct flow *flow, struct end *to, const char *bytes, size_t length, size_t *sent)
{
	*sent = 0;
	if (flow->bytes && !to->prompt)
		make_prompt(to);
	while (*sent < length) {
		ssize_t n = send(to->source.fd, bytes + *sent, length - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0) {
			to->writable = false;
			break;
		}
		*sent += n;
		flow->bytes += n;
	}
	return true;
}

static bool hold(struct flow *flow, const char *bytes, size_t length)
{
	flow->held = malloc(length);
	if (!flow->held)
		return false;
	memcpy(flow->held, bytes, length);
	flow->offset = 0;
	flow->length = length;
	return true;
}

static bool push_held(struct flow *flow, struct end *to)
{
	size_t sent;
	bool good = push(flow, to, flow->held + flow->offset, flow->length - flow->offset, &sent);

	flow->offset += sent;
	if (flow->offset == flow->length) {
		free(flow->held);
		flow->held = NULL;
	}
	return good;
}

/* One direction. Returns the end that failed, or NULL. Sets @more when the turn is over before the work. */
static struct end *move(struct pair *pair, struct flow *flow, struct end *from, struct end *to, bool *more)
{
	char *batch = pair->loop->batch;
	size_t size = pair->loop->options->batch;
	size_t sent;

	if (flow->held && to->writable && !push_held(flow, to))
		return to;
	for (int turn = 0; from->readable && !flow->held && !flow->ended; turn++) {
		if (turn == TURN) {
			*more = true;
			return NULL;
		}
		ssize_t n = recv(from->source.fd, batch, size, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return from;
		/* A short read has emptied the socket: more, or the end, raises another event. */
		if (n < (ssize_t)size) {
			from->readable = false;
			flow->ended = n == 0 || (n > 0 && from->ending);
		}
		if (n <= 0)
			break;
		if (!push(flow, to, batch, n, &sent))
			return to;
		if (sent < (size_t)n && !hold(flow, batch + sent, n - sent))
			return to;
	}
	if (flow->ended && !flow->held && !flow->closed) {
		flow->closed = true;
		if (!pair->up.closed || !pair->down.closed) /* else close() follows, which does the same */
			shutdown(to->source.fd, SHUT_WR);
	}
	return NULL;
}

struct end *relay(struct pair *pair)
{
	uint64_t up = pair->up.bytes, down = pair->down.bytes;
	bool more = false;
	struct end *failed = move(pair, &pair->up, &pair->client, &pair->server, &more);

	if (!failed)
		failed = move(pair, &pair->down, &pair->server, &pair->client, &more);
	if (pair->up.bytes != up || pair->down.bytes != down) {
		stats_add(&pair->loop->stats, bytes_up, pair->up.bytes - up);
		stats_add(&pair->loop->stats, bytes_down, pair->down.bytes - down);
		pair_touch(pair);
	}
	if (more)
		loop_again(pair->loop, pair);
	return failed;
}
