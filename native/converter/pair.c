// SPDX-License-Identifier: MIT
#include "pair.h"

#include "explicit.h"
#include "kernel.h"
#include "server.h"
#include "syn_open.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define ANSWER_MS 5000 /* for the client to take an error message */

/* The silence that the state allows, in ms. */
static unsigned int patience(const struct pair *pair)
{
	const struct options *o = pair->loop->options;

	switch (pair->state) {
	case PAIR_REQUEST:
		return o->request_ms;
	case PAIR_CONNECT:
		return o->connect_ms;
	case PAIR_RELAY:
		return pair->up.ended || pair->down.ended ? o->half_ms : o->idle_ms;
	case PAIR_ANSWER:
	case PAIR_DEAD:
		break;
	}
	return ANSWER_MS;
}

void pair_touch(struct pair *pair)
{
	pair->active = pair->loop->now;
}

/* The deadline may be earlier than the one that the wheel knows. */
static void rearm(struct pair *pair)
{
	pair_touch(pair);
	wheel_put(&pair->loop->wheel, &pair->timer, pair->active + patience(pair));
}

static void end_close(struct end *end, bool abort)
{
	if (end->source.fd < 0)
		return;
	if (abort)
		socket_abort(end->source.fd);
	else
		close(end->source.fd);
	end->source.fd = -1;
}

void pair_close(struct pair *pair, bool abort)
{
	struct loop *loop = pair->loop;

	if (pair->state == PAIR_DEAD)
		return;
	pthread_mutex_lock(&loop->lock);
	*pair->at = pair->next;
	if (pair->next)
		pair->next->at = pair->at;
	pthread_mutex_unlock(&loop->lock);
	wheel_remove(&loop->wheel, &pair->timer);
	end_close(&pair->client, abort);
	end_close(&pair->server, abort);
	free(pair->up.held);
	free(pair->down.held);
	access_leave(&loop->options->access, &pair->peer.ip);
	stats_add(&loop->stats, active, -1);
	pair->state = PAIR_DEAD;
	if (!pair->queued) {
		pair->queued = true;
		pair->queue = loop->dead;
		loop->dead = pair;
	}
}

void pair_answered(struct pair *pair, bool sent)
{
	if (!sent)
		return pair_close(pair, true);
	end_close(&pair->server, true);
	shutdown(pair->client.source.fd, SHUT_WR);
	pair->state = PAIR_ANSWER;
	rearm(pair);
}

static void failed(struct pair *pair, int error)
{
	struct stats *stats = &pair->loop->stats;

	if (error == ECONNREFUSED)
		stats_add(stats, refused, 1);
	else if (error == ETIMEDOUT)
		stats_add(stats, connect_timeout, 1);
	else
		stats_add(stats, unreachable, 1);
	pair_answered(pair, pair->convert && explicit_failed(pair, error));
}

static void denied(struct pair *pair)
{
	stats_add(&pair->loop->stats, denied_destination, 1);
	pair_answered(pair, pair->convert && explicit_denied(pair));
}

static void connected(struct pair *pair, uint64_t at)
{
	struct stats *stats = &pair->loop->stats;

	pair->open_us = at - pair->begun;
	stats_add(stats, opened, 1);
	stats_add(stats, open_us, pair->open_us);
	pair->state = PAIR_RELAY;
	pair->server.writable = true;
	rearm(pair);
	if (pair->convert)
		explicit_connected(pair);
}

void pair_connect(struct pair *pair)
{
	const struct options *options = pair->loop->options;
	int fd;

	if (!access_destination(&options->access, &pair->destination.ip, pair->door->mode == MODE_EXPLICIT) ||
	    (pair->door->mode == MODE_TRANSPARENT && server_is_ours(&pair->loop->probe, &pair->destination, pair->loop->now)))
		return denied(pair);
	pair->state = PAIR_CONNECT;
	fd = server_open(options, &pair->destination, &pair->peer);
	if (fd < 0)
		return failed(pair, -fd);
	pair->server.source.fd = fd;
	rearm(pair);
	loop_watch(pair->loop, &pair->server.source, EVENTS);
}

/* The server's side was opened, or refused, when the client's SYN came. */
static void adopt(struct pair *pair, const struct syn_claim *claim)
{
	pair->syn_timed = true;
	pair->begun = claim->begun;
	if (claim->error)
		return failed(pair, claim->error);
	pair->state = PAIR_CONNECT;
	pair->server.source.fd = claim->fd;
	rearm(pair);
	if (claim->connected)
		connected(pair, claim->connected);
	loop_watch(pair->loop, &pair->server.source, EVENTS);
}

static struct pair *pair_new(struct loop *loop, const struct door *door, int fd, const struct address *peer)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	if (!pair)
		return NULL;
	pair->client.source = (struct source){ SOURCE_CLIENT, fd };
	pair->server.source = (struct source){ SOURCE_SERVER, -1 };
	pair->client.writable = true;
	pair->client.prompt = true; /* as its listener */
	pair->loop = loop;
	pair->door = door;
	pair->peer = *peer;
	pair->since = loop->now;
	pair->begun = now_us();
	pair->state = PAIR_REQUEST;
	pthread_mutex_lock(&loop->lock);
	pair->next = loop->pairs;
	pair->at = &loop->pairs;
	if (pair->next)
		pair->next->at = &pair->next;
	loop->pairs = pair;
	pthread_mutex_unlock(&loop->lock);
	stats_add(&loop->stats, accepted, 1);
	stats_add(&loop->stats, active, 1);
	return pair;
}

/* Whether this client may come in; counts it if so. */
static bool admit(struct loop *loop, const struct address *peer)
{
	const struct options *options = loop->options;

	if (!access_source(&options->access, &peer->ip)) {
		stats_add(&loop->stats, denied_source, 1);
		return false;
	}
	if (stats_get(&loop->stats, active) >= options->max_connections / options->threads ||
	    !access_enter(&options->access, &peer->ip)) {
		stats_add(&loop->stats, too_many, 1);
		return false;
	}
	return true;
}

static bool is_mptcp(int fd)
{
	int protocol = 0;
	socklen_t length = sizeof(protocol);

	return !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) && protocol == IPPROTO_MPTCP;
}

static bool is_early(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);

	return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) && info.tcpi_state == TCP_SYN_RECV;
}

/*
 * What is sent before the handshake's third packet MPTCP keeps, and forgets to send when that has come (seen on 6.18:
 * a client in three hundred with Fast Open). An option that is set anew makes it look.
 */
static void remind(struct end *end)
{
	int one = 1;

	end->early = is_early(end->source.fd);
	if (!end->early)
		setsockopt(end->source.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void pair_accept(struct loop *loop, const struct door *door, int fd, const struct sockaddr_storage *from)
{
	struct address peer, local = door->address;
	struct sockaddr_storage own;
	socklen_t length = sizeof(own);
	struct syn_claim claim;
	struct pair *pair;

	address_from_sockaddr(&peer, from);
	if (!admit(loop, &peer))
		return socket_abort(fd);
	pair = pair_new(loop, door, fd, &peer);
	if (!pair) {
		access_leave(&loop->options->access, &peer.ip);
		return socket_abort(fd);
	}
	if (is_mptcp(fd))
		stats_add(&loop->stats, accepted_mptcp, 1);
	socket_tune(loop->options, fd);
	pair->client.early = door->mode == MODE_EXPLICIT && is_early(fd);
	if (door->mode != MODE_FORWARD || loop->options->syn_open) {
		if (getsockname(fd, (struct sockaddr *)&own, &length))
			return pair_close(pair, true);
		address_from_sockaddr(&local, &own);
	}
	rearm(pair);
	loop_watch(loop, &pair->client.source, EVENTS);
	if (syn_open_claim(&peer, &local, &claim)) {
		pair->destination = claim.destination;
		if (claim.fd >= 0 || claim.error)
			return adopt(pair, &claim);
		return pair_connect(pair);
	}
	if (door->mode == MODE_EXPLICIT)
		return; /* its request raises an event */
	pair->destination = door->mode == MODE_FORWARD ? door->destination : local;
	pair_connect(pair);
}

static int socket_error(int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	return error;
}

static void aborted(struct pair *pair, const struct end *by)
{
	struct stats *stats = &pair->loop->stats;

	if (by == &pair->client)
		stats_add(stats, client_aborted, 1);
	else
		stats_add(stats, server_aborted, 1);
	pair_close(pair, true);
}

/* From here on it is the kernel module's, once nothing waits with us. */
static bool handed_over(struct pair *pair)
{
	if (pair->client.early || pair->up.held || pair->down.held || pair->up.ended || pair->down.ended ||
	    !kernel_adopt(pair->loop->options, pair->client.source.fd, pair->server.source.fd))
		return false;
	loop_forget(pair->loop, &pair->client.source);
	loop_forget(pair->loop, &pair->server.source);
	pair_close(pair, false);
	return true;
}

void pair_run(struct pair *pair)
{
	struct end *broken;
	bool ended = pair->up.ended || pair->down.ended;

	if (pair->state == PAIR_REQUEST)
		explicit_request(pair);
	if (pair->state == PAIR_ANSWER) {
		char sink[4096];
		ssize_t n;

		/* Unread bytes would turn our end into a reset, and the client would lose the message. */
		do
			n = recv(pair->client.source.fd, sink, sizeof(sink), MSG_DONTWAIT);
		while (n > 0);
		if (!n || errno != EAGAIN)
			pair_close(pair, false);
	}
	if (pair->state != PAIR_RELAY)
		return;
	broken = relay(pair);
	if (broken)
		return aborted(pair, broken);
	if (pair->up.closed && pair->down.closed) {
		stats_add(&pair->loop->stats, finished, 1);
		return pair_close(pair, false);
	}
	if (pair->loop->options->kernel && handed_over(pair))
		return;
	if (!ended && (pair->up.ended || pair->down.ended))
		rearm(pair);
}

void pair_event(struct pair *pair, struct end *end, uint32_t events)
{
	bool opening = pair->state == PAIR_CONNECT && end == &pair->server;
	int error = 0;

	if (pair->state == PAIR_DEAD)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		end->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		end->ending = true;
	if (events & EPOLLOUT)
		end->writable = true;
	if (events & EPOLLOUT && end->early)
		remind(end);
	if (events & EPOLLERR || (opening && events & EPOLLHUP))
		error = socket_error(end->source.fd);
	if (opening && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		if (error)
			return failed(pair, error);
		connected(pair, now_us());
	} else if (error) {
		return aborted(pair, end);
	}
	pair_run(pair);
}

void pair_timer(struct timer *timer, void *context)
{
	struct pair *pair = (struct pair *)((char *)timer - offsetof(struct pair, timer));
	struct loop *loop = context;
	uint64_t deadline = pair->active + patience(pair);

	if (deadline > loop->now)
		return wheel_put(&loop->wheel, timer, deadline);
	switch (pair->state) {
	case PAIR_REQUEST:
		stats_add(&loop->stats, request_timeout, 1);
		break;
	case PAIR_CONNECT:
		return failed(pair, ETIMEDOUT);
	case PAIR_RELAY:
		if (pair->up.ended || pair->down.ended)
			stats_add(&loop->stats, half_close_timeout, 1);
		else
			stats_add(&loop->stats, idle_timeout, 1);
		break;
	case PAIR_ANSWER:
	case PAIR_DEAD:
		break;
	}
	pair_close(pair, true);
}
