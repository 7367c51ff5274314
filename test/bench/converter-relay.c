// SPDX-License-Identifier: MIT
/*
 * MiMBox's own rivals (HotMiddlebox'13, section 4.1), as one would write them today: an MPTCP listener, a TCP
 * connection to a fixed server for each client, and a thread a core that moves bytes by recv and send, or by
 * splice. Blocks for nobody, but has no timeouts, limits or statistics.
 *	converter-relay recvsend|splice PORT ADDRESS PORT THREADS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH (256 << 10)

struct pair;
struct end {
	int fd;
	struct pair *pair;
};
struct way {
	int from, to;
	char *held;
	int pipe[2], offset, length;
	bool ended, closed;
};
struct pair {
	struct end ends[2];
	struct way ways[2];
	bool connected, dead;
	struct pair *next;
};

static bool splicing;
static int port;
static struct sockaddr_in server;
static __thread char batch[BATCH];
static __thread struct pair *dead;

/* Sends what is held. 1: all; 0: no room; -1: broken. */
static int flush(struct way *w)
{
	while (w->length) {
		ssize_t n = splicing ? splice(w->pipe[0], NULL, w->to, NULL, w->length, SPLICE_F_NONBLOCK | SPLICE_F_MOVE)
				     : send(w->to, (w->held ? w->held : batch) + w->offset, w->length, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			if (!splicing && !w->held) {
				w->held = malloc(w->length);
				memcpy(w->held, batch + w->offset, w->length);
				w->offset = 0;
			}
			return 0;
		}
		if (n <= 0)
			return -1;
		w->offset += n;
		w->length -= n;
	}
	free(w->held);
	w->held = NULL;
	return 1;
}

static int move(struct way *w)
{
	for (;;) {
		int sent = flush(w);
		ssize_t n;

		if (sent <= 0)
			return sent;
		if (w->ended) {
			if (!w->closed)
				shutdown(w->to, SHUT_WR);
			w->closed = true;
			return 0;
		}
		n = splicing ? splice(w->from, NULL, w->pipe[1], NULL, BATCH, SPLICE_F_NONBLOCK | SPLICE_F_MOVE)
			     : recv(w->from, batch, BATCH, 0);
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		w->ended = n == 0;
		w->offset = 0;
		w->length = n;
	}
}

static void end(struct pair *p)
{
	if (p->dead)
		return;
	p->dead = true;
	for (int i = 0; i < 2; i++) {
		close(p->ends[i].fd);
		free(p->ways[i].held);
		if (splicing) {
			close(p->ways[i].pipe[0]);
			close(p->ways[i].pipe[1]);
		}
	}
	p->next = dead;
	dead = p;
}

static void run(struct pair *p)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	int error = 0;

	if (p->dead)
		return;
	if (!p->connected) {
		socklen_t size = sizeof(error);

		getsockopt(p->ends[1].fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error)
			return end(p);
		if (getpeername(p->ends[1].fd, (struct sockaddr *)&peer, &length))
			return;
		p->connected = true;
	}
	if (move(&p->ways[0]) < 0 || move(&p->ways[1]) < 0 || (p->ways[0].closed && p->ways[1].closed))
		end(p);
}

static void begin(int epoll, int client)
{
	struct pair *p = calloc(1, sizeof(*p));
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	p->ends[0] = (struct end){ client, p };
	p->ends[1] = (struct end){ fd, p };
	p->ways[0] = (struct way){ .from = client, .to = fd };
	p->ways[1] = (struct way){ .from = fd, .to = client };
	for (int i = 0; i < 2 && splicing; i++) {
		if (pipe2(p->ways[i].pipe, O_NONBLOCK))
			perror("pipe2");
		fcntl(p->ways[i].pipe[0], F_SETPIPE_SZ, BATCH);
	}
	connect(fd, (struct sockaddr *)&server, sizeof(server));
	for (int i = 0; i < 2; i++) {
		struct epoll_event event = { EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, { .ptr = &p->ends[i] } };

		epoll_ctl(epoll, EPOLL_CTL_ADD, p->ends[i].fd, &event);
	}
}

static void *loop(void *unused)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, epoll = epoll_create1(0), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_MPTCP);
	struct epoll_event events[256], event = { EPOLLIN, { .ptr = NULL } };

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 4096)) {
		perror("converter-relay");
		exit(1);
	}
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	for (;;) {
		int n = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < n; i++) {
			struct end *e = events[i].data.ptr;

			if (e) {
				run(e->pair);
				continue;
			}
			for (int client; (client = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
				begin(epoll, client);
		}
		while (dead) {
			struct pair *p = dead;

			dead = p->next;
			free(p);
		}
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 6)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	splicing = !strcmp(argv[1], "splice");
	port = atoi(argv[2]);
	server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(atoi(argv[4])) };
	inet_pton(AF_INET, argv[3], &server.sin_addr);
	for (int i = 1; i < atoi(argv[5]); i++)
		pthread_create(&thread, NULL, loop, NULL);
	loop(NULL);
}
