// SPDX-License-Identifier: MIT
#include "loop.h"

#include "kernel.h"
#include "pair.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256
#define ACCEPTS_AT_ONCE 64

uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

uint64_t now_ms(void)
{
	return now_us() / 1000;
}

void loop_watch(struct loop *loop, struct source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, source->fd, &event))
		perror("smapp-convert: epoll_ctl"); /* fs.epoll.max_user_watches; a connection's timer will end it */
}

void loop_forget(struct loop *loop, const struct source *source)
{
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
}

void loop_again(struct loop *loop, struct pair *pair)
{
	if (pair->queued)
		return;
	pair->queued = true;
	pair->queue = NULL;
	*loop->ready_tail = pair;
	loop->ready_tail = &pair->queue;
}

static void accept_some(struct loop *loop, struct listener *listener)
{
	listener->more = true;
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		int fd = accept4(listener->source.fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			pair_accept(loop, listener->door, fd, &peer);
		} else if (errno == EAGAIN) {
			listener->more = false;
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			loop->no_files = true;
			stats_add(&loop->stats, no_files, 1);
			return;
		}
	}
}

static void dispatch(struct loop *loop, struct source *source, uint32_t events)
{
	struct end *end = (struct end *)source;
	uint64_t count;

	switch (source->kind) {
	case SOURCE_LISTENER:
		accept_some(loop, (struct listener *)source);
		break;
	case SOURCE_CLIENT:
		pair_event((struct pair *)((char *)end - offsetof(struct pair, client)), end, events);
		break;
	case SOURCE_SERVER:
		pair_event((struct pair *)((char *)end - offsetof(struct pair, server)), end, events);
		break;
	case SOURCE_WAKE:
		if (read(source->fd, &count, sizeof(count)) < 0)
			break;
		break;
	}
}

/* Those that had more to do than one turn allowed, as of now. */
static void run_ready(struct loop *loop)
{
	struct pair *pair = loop->ready, *next;

	loop->ready = NULL;
	loop->ready_tail = &loop->ready;
	for (; pair; pair = next) {
		next = pair->queue;
		pair->queued = false;
		if (pair->state == PAIR_DEAD) {
			pair->queued = true;
			pair->queue = loop->dead;
			loop->dead = pair;
		} else {
			pair_run(pair);
		}
	}
}

static void bury(struct loop *loop)
{
	while (loop->dead) {
		struct pair *pair = loop->dead;

		loop->dead = pair->queue;
		free(pair);
	}
}

static bool listeners_more(struct loop *loop)
{
	bool more = false;

	if (loop->no_files)
		return false;
	for (unsigned int i = 0; i < loop->options->door_count; i++) {
		if (!loop->listeners[i].more)
			continue;
		accept_some(loop, &loop->listeners[i]);
		more |= loop->listeners[i].more;
	}
	return more && !loop->no_files;
}

static void stop_accepting(struct loop *loop)
{
	for (unsigned int i = 0; i < loop->options->door_count; i++) {
		struct listener *listener = &loop->listeners[i];

		if (listener->source.fd < 0)
			continue;
		/* A successor may hold the same socket, and then close() would not end the watching. */
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, listener->source.fd, NULL);
		close(listener->source.fd);
		listener->source.fd = -1;
		listener->more = false;
	}
}

static int sleep_ms(const struct loop *loop, bool more)
{
	if (more || loop->ready)
		return 0;
	int ms = wheel_sleep(&loop->wheel, loop->now);

	return loop->no_files && (ms < 0 || ms > WHEEL_TICK) ? WHEEL_TICK : ms;
}

static void *loop_run(void *context)
{
	struct loop *loop = context;
	struct epoll_event events[EVENTS_AT_ONCE];
	bool more = false;

	while (!__atomic_load_n(&loop->drain, __ATOMIC_ACQUIRE) || stats_get(&loop->stats, active)) {
		int n = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, sleep_ms(loop, more));

		loop->now = now_ms();
		if (__atomic_load_n(&loop->drain, __ATOMIC_ACQUIRE))
			stop_accepting(loop);
		for (int i = 0; i < n; i++)
			dispatch(loop, events[i].data.ptr, events[i].events);
		run_ready(loop);
		if (loop->wheel.tick < loop->now / WHEEL_TICK)
			loop->no_files = false;
		wheel_run(&loop->wheel, loop->now, pair_timer, loop);
		more = listeners_more(loop);
		bury(loop);
	}
	stop_accepting(loop);
	return NULL;
}

static void die(const char *what)
{
	fprintf(stderr, "smapp-convert: ");
	perror(what);
	exit(1);
}

void loop_start(struct loop *loop)
{
	int error;

	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->wake = (struct source){ SOURCE_WAKE, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	loop->batch = malloc(loop->options->batch);
	if (loop->epoll < 0 || loop->wake.fd < 0 || !loop->batch || !probe_open(&loop->probe))
		die("starting a thread");
	loop->now = now_ms();
	wheel_init(&loop->wheel, loop->now);
	loop->ready_tail = &loop->ready;
	pthread_mutex_init(&loop->lock, NULL);
	loop_watch(loop, &loop->wake, EPOLLIN);
	for (unsigned int i = 0; i < loop->options->door_count; i++) {
		struct listener *listener = &loop->listeners[i];

		if (kernel_listens(loop->options, listener->door))
			kernel_listen(loop->options, listener->door, listener->source.fd);
		else
			loop_watch(loop, &listener->source, EPOLLIN | EPOLLET);
	}
	error = pthread_create(&loop->thread, NULL, loop_run, loop);
	if (error) {
		errno = error;
		die("starting a thread");
	}
}

void loop_drain(struct loop *loop)
{
	uint64_t one = 1;

	__atomic_store_n(&loop->drain, true, __ATOMIC_RELEASE);
	if (write(loop->wake.fd, &one, sizeof(one)) < 0)
		perror("smapp-convert: eventfd");
}
