// SPDX-License-Identifier: MIT
/*
 * converter-relay.c's recv and send by io_uring, as far as it goes: every call is a request in a ring, sockets are
 * slots of a table of the ring's own instead of file descriptors, buffers are the kernel's choice, and one system call
 * a wake-up hands over all requests and waits for what has ended.
 *	converter-uring PORT ADDRESS PORT THREADS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 4096
#define SLOTS 8192 /* half of them for clients; each client's server has the slot SERVERS further */
#define SERVERS (SLOTS / 2)
#define BUFFERS 128
#define BUFFER_BYTES (256 << 10)

enum op { ACCEPT, OPEN, CONNECT, RECEIVE, SEND, REST };

/* One direction: a request to receive, then one to send what came, and so on. */
struct way {
	unsigned int from, to;
	int buffer, length, offset;
	bool ended;
};
struct pair {
	struct way ways[2];
	int requests; /* not ended yet: the pair lives as long */
	bool broken;
};

static int port;
static struct sockaddr_in server;
static const int one = 1;

static __thread struct {
	int fd;
	unsigned int *tail, *head, mask, next, *cq_head, *cq_tail, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	struct io_uring_buf_ring *free;
	char *buffers;
	struct pair pairs[SERVERS];
} ring;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int enter(unsigned int wait)
{
	unsigned int count = ring.next - *ring.tail;

	__atomic_store_n(ring.tail, ring.next, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, ring.fd, count, wait, IORING_ENTER_GETEVENTS, NULL, 0);
}

/* A request about the socket in @slot. */
static struct io_uring_sqe *request(int opcode, unsigned int slot, enum op op, unsigned int of)
{
	if (ring.next - __atomic_load_n(ring.head, __ATOMIC_ACQUIRE) > ring.mask)
		enter(0);
	struct io_uring_sqe *sqe = &ring.sqes[ring.next++ & ring.mask];

	*sqe = (struct io_uring_sqe){ .opcode = opcode, .fd = slot, .flags = IOSQE_FIXED_FILE, .user_data = of << 4 | op };
	return sqe;
}

static void offer(int buffer)
{
	struct io_uring_buf *slot = &ring.free->bufs[ring.free->tail & (BUFFERS - 1)];

	slot->addr = (unsigned long)ring.buffers + (size_t)buffer * BUFFER_BYTES;
	slot->len = BUFFER_BYTES;
	slot->bid = buffer;
	__atomic_store_n(&ring.free->tail, ring.free->tail + 1, __ATOMIC_RELEASE);
}

static void receive(unsigned int client, int way)
{
	struct io_uring_sqe *sqe = request(IORING_OP_RECV, ring.pairs[client].ways[way].from, RECEIVE, client * 2 + way);

	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
	ring.pairs[client].requests++;
}

static void transmit(unsigned int client, int way)
{
	struct way *w = &ring.pairs[client].ways[way];
	struct io_uring_sqe *sqe = request(IORING_OP_SEND, w->to, SEND, client * 2 + way);

	sqe->addr = (unsigned long)ring.buffers + (size_t)w->buffer * BUFFER_BYTES + w->offset;
	sqe->len = w->length - w->offset;
	sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
	ring.pairs[client].requests++;
}

static void finish(int opcode, unsigned int slot)
{
	struct io_uring_sqe *sqe = request(opcode, slot, REST, 0);

	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	if (opcode == IORING_OP_SHUTDOWN) {
		sqe->len = SHUT_WR;
	} else {
		sqe->flags &= ~IOSQE_FIXED_FILE;
		sqe->fd = 0;
		sqe->file_index = slot + 1;
	}
}

static void begin(unsigned int client)
{
	struct pair *p = &ring.pairs[client];
	unsigned int other = client + SERVERS;
	struct io_uring_sqe *sqe;

	*p = (struct pair){ { { client, other, -1, 0, 0, false }, { other, client, -1, 0, 0, false } }, 1, false };
	sqe = request(IORING_OP_SOCKET, AF_INET, OPEN, client * 2);
	sqe->flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	sqe->off = SOCK_STREAM;
	sqe->file_index = other + 1;
	/* No TCP_NODELAY: nothing here is sent while something is not acknowledged, but for bulk data. */
	sqe = request(IORING_OP_CONNECT, other, CONNECT, client * 2);
	sqe->addr = (unsigned long)&server;
	sqe->off = sizeof(server);
}

static void accept_all(int listener)
{
	struct io_uring_sqe *sqe = request(IORING_OP_ACCEPT, listener, ACCEPT, 0);

	sqe->flags = 0;
	sqe->ioprio = IORING_ACCEPT_MULTISHOT;
	sqe->file_index = IORING_FILE_INDEX_ALLOC;
}

static void handle(const struct io_uring_cqe *cqe, int listener)
{
	enum op op = cqe->user_data & 15;
	unsigned int client = cqe->user_data >> 5;
	struct pair *p = &ring.pairs[client];
	struct way *w = &p->ways[cqe->user_data >> 4 & 1];
	int way = w - p->ways;

	if (op == ACCEPT) {
		if (cqe->res >= 0)
			begin(cqe->res);
		if (!(cqe->flags & IORING_CQE_F_MORE))
			accept_all(listener);
		return;
	}
	if (op == REST || op == OPEN) /* a failed OPEN fails CONNECT too */
		return;
	p->requests--;
	if (op == CONNECT) {
		p->broken |= cqe->res < 0;
		for (int i = 0; i < 2 && !p->broken; i++)
			receive(client, i);
	} else if (op == RECEIVE) {
		if (cqe->flags & IORING_CQE_F_BUFFER) {
			w->buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
			w->offset = 0;
			w->length = cqe->res;
		}
		if (cqe->res > 0 && !p->broken) {
			transmit(client, way);
		} else if (cqe->res == -ENOBUFS && !p->broken) {
			receive(client, way); /* others have them all: until they are through */
		} else {
			p->broken |= cqe->res < 0;
			w->ended = true;
			if (w->buffer >= 0)
				offer(w->buffer);
			w->buffer = -1;
			if (!p->broken && !p->ways[!way].ended)
				finish(IORING_OP_SHUTDOWN, w->to);
		}
	} else if (op == SEND) {
		p->broken |= cqe->res < 0;
		w->offset += cqe->res > 0 ? cqe->res : 0;
		if (!p->broken && w->offset < w->length)
			return transmit(client, way);
		offer(w->buffer);
		w->buffer = -1;
		if (!p->broken)
			receive(client, way);
	}
	if (p->broken && p->requests) { /* what still waits ends by this */
		finish(IORING_OP_SHUTDOWN, client);
		finish(IORING_OP_SHUTDOWN, client + SERVERS);
	}
	if (!p->requests) {
		/* The client's slot may be given away as soon as it is closed: the server's goes first. */
		finish(IORING_OP_CLOSE, client + SERVERS);
		finish(IORING_OP_CLOSE, client);
	}
}

static void register_with_ring(unsigned int what, void *with, unsigned int count)
{
	if (syscall(SYS_io_uring_register, ring.fd, what, with, count) < 0)
		die("io_uring_register");
}

static void make_ring(void)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
				     .cq_entries = 4 * ENTRIES };
	struct io_uring_rsrc_register files = { .nr = SLOTS, .flags = IORING_RSRC_REGISTER_SPARSE };
	struct io_uring_file_index_range range = { .off = 0, .len = SERVERS };
	struct io_uring_buf_reg buffers = { .ring_entries = BUFFERS };
	char *at;

	ring.fd = syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (ring.fd < 0)
		die("io_uring_setup");
	at = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe) + p.sq_off.array, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING);
	ring.sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			 ring.fd, IORING_OFF_SQES);
	if (at == MAP_FAILED || ring.sqes == MAP_FAILED)
		die("mmap");
	ring.head = (void *)(at + p.sq_off.head);
	ring.tail = (void *)(at + p.sq_off.tail);
	ring.mask = *(unsigned int *)(at + p.sq_off.ring_mask);
	ring.cq_head = (void *)(at + p.cq_off.head);
	ring.cq_tail = (void *)(at + p.cq_off.tail);
	ring.cq_mask = *(unsigned int *)(at + p.cq_off.ring_mask);
	ring.cqes = (void *)(at + p.cq_off.cqes);
	for (unsigned int i = 0; i < p.sq_entries; i++)
		((unsigned int *)(at + p.sq_off.array))[i] = i;
	register_with_ring(IORING_REGISTER_FILES2, &files, sizeof(files));
	register_with_ring(IORING_REGISTER_FILE_ALLOC_RANGE, &range, 0);
	ring.free = aligned_alloc(4096, BUFFERS * sizeof(struct io_uring_buf));
	memset(ring.free, 0, BUFFERS * sizeof(struct io_uring_buf));
	buffers.ring_addr = (unsigned long)ring.free;
	register_with_ring(IORING_REGISTER_PBUF_RING, &buffers, 1);
	ring.buffers = malloc((size_t)BUFFERS * BUFFER_BYTES);
	for (int i = 0; i < BUFFERS; i++)
		offer(i);
}

static void *loop(void *unused)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 4096))
		die("converter-uring");
	make_ring();
	accept_all(fd);
	for (;;) {
		if (enter(1) < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY)
			die("io_uring_enter");
		for (unsigned int head = *ring.cq_head, tail = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE); head != tail; head++) {
			handle(&ring.cqes[head & ring.cq_mask], fd);
			__atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
		}
	}
	return unused;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	pthread_t thread;

	if (argc != 5)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files); /* bounds the table of sockets too */
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	port = atoi(argv[1]);
	server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(atoi(argv[3])) };
	inet_pton(AF_INET, argv[2], &server.sin_addr);
	for (int i = 1; i < atoi(argv[4]); i++)
		pthread_create(&thread, NULL, loop, NULL);
	loop(NULL);
}
