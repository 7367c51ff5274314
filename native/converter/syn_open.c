// SPDX-License-Identifier: MIT
/*
 * Two ways (docs: converter.md has the measurements):
 *   parallel  the client's handshake goes on meanwhile; a refusal reaches the client as a reset after it
 *   hold      the SYN itself is kept from the stack (by a rule of the agent's that drops it behind the
 *	       packet socket) and given back, marked, when the server has answered; a refusal reaches the
 *	       client as the reset that answers its SYN
 */
#include "syn_open.h"

#include "kernel.h"
#include "loop.h"
#include "server.h"
#include "syn_socket.h"
#include "syn_table.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EXPIRY_MS 10000 /* a client that was not accepted by then never will be */
#define AT_ONCE 64
#define CATCH_UP 4096
#define NAMES_KNOWN 16
#define NAME_MS 1000 /* an interface may be renamed */

static struct {
	const struct options *options; /* NULL: not running */
	pthread_mutex_t lock;
	int sockets[2]; /* IPv4, IPv6 */
	int give_back[2], reset[2];
	int epoll, wake;
	struct probe probe;
	struct syn_table table;
	struct syn_rates *rates;
	struct stats stats;
	bool stop;
} s = { .lock = PTHREAD_MUTEX_INITIALIZER, .sockets = { -1, -1 } };

const struct stats *syn_open_stats(void)
{
	return &s.stats;
}

static void forget(struct syn_entry *entry)
{
	if (entry->fd >= 0)
		socket_abort(entry->fd);
	syn_table_remove(&s.table, entry);
}

static void give_back(const struct address *to, uint8_t *packet, size_t length)
{
	syn_checksum(packet, length);
	raw_send(s.give_back[!address_is_v4(to)], to, packet, length);
	stats_add(&s.stats, syn_held, 1);
}

static void refuse(const struct syn *syn)
{
	uint8_t reset[RESET_BYTES];
	size_t length = syn_refusal(syn, reset);

	raw_send(s.reset[!address_is_v4(&syn->from)], &syn->from, reset, length);
}

/* SYN_OPEN_HOLD: the server has answered, or never will. */
static void settle(struct syn_entry *entry, int error)
{
	if (error) {
		stats_add(&s.stats, syn_refused, 1);
		if (error != ETIMEDOUT) /* silence is answered with silence */
			refuse(&entry->syn);
		return forget(entry);
	}
	epoll_ctl(s.epoll, EPOLL_CTL_DEL, entry->fd, NULL);
	entry->connected = now_us();
	entry->released = true;
	give_back(&entry->syn.to, entry->packet, entry->length);
}

static const struct door *door_of(const struct syn *syn)
{
	static const struct in6_addr any4 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	for (unsigned int i = 0; i < s.options->door_count; i++) {
		const struct door *door = &s.options->doors[i];
		const struct in6_addr *ip = &door->address.ip;

		if (kernel_listens(s.options, door) || door->address.port != syn->to.port ||
		    address_is_v4(&door->address) != address_is_v4(&syn->to))
			continue;
		if (!memcmp(ip, &any4, sizeof(*ip)) || IN6_IS_ADDR_UNSPECIFIED(ip) || !memcmp(ip, &syn->to.ip, sizeof(*ip)))
			return door;
	}
	return NULL;
}

/*
 * Where this SYN's connection goes. Returns EAGAIN when that is not known from the SYN, EACCES when its
 * client may not go there, or 0.
 */
static int destination_of(const struct syn *syn, struct address *destination)
{
	const struct access *access = &s.options->access;
	const struct door *door = door_of(syn);

	if (!door || syn->join)
		return EAGAIN;
	switch (door->mode) {
	case MODE_TRANSPARENT:
		*destination = syn->to;
		break;
	case MODE_EXPLICIT:
		if (!s.options->dst_opt || !syn->names_destination)
			return EAGAIN;
		*destination = syn->destination;
		break;
	case MODE_FORWARD:
		*destination = door->destination;
		break;
	}
	if (access_source(access, &syn->from.ip) &&
	    access_destination(access, &destination->ip, door->mode == MODE_EXPLICIT))
		return 0;
	return EACCES;
}

/* A failure is the client's to hear of when it is accepted, or at once when it is held. */
static void open_server(struct syn_entry *entry)
{
	struct epoll_event event = { .events = EPOLLOUT | EPOLLONESHOT, .data.ptr = entry };
	int fd = server_open(s.options, &entry->destination, &entry->syn.from);

	stats_add(&s.stats, syn_opened, 1);
	if (fd < 0)
		entry->error = -fd;
	else
		entry->fd = fd;
	if (s.options->syn_open != SYN_OPEN_HOLD)
		return;
	if (entry->error)
		settle(entry, entry->error);
	else
		epoll_ctl(s.epoll, EPOLL_CTL_ADD, fd, &event);
}

static bool over_rate(const struct syn *syn)
{
	if (syn_rates_allow(s.rates, &syn->from.ip, now_ms()))
		return false;
	stats_add(&s.stats, syn_over_rate, 1);
	return true;
}

/* Returns false when the SYN is not for us to keep. */
static bool take(const struct syn *syn, const uint8_t *packet, size_t length)
{
	struct address destination;
	struct syn_entry *entry = syn_table_find(&s.table, &syn->from, &syn->to);

	if (entry && entry->syn.sequence == syn->sequence)
		return !entry->released; /* sent again */
	if (entry)
		forget(entry);
	int error = destination_of(syn, &destination);
	bool named = error != EAGAIN && door_of(syn)->mode == MODE_EXPLICIT;
	bool opens = !error && s.options->syn_open && !over_rate(syn);

	if (named)
		stats_add(&s.stats, dst_opt, 1);
	if (!opens && !named)
		return false;
	entry = syn_table_add(&s.table, syn);
	if (!entry) {
		stats_add(&s.stats, syn_over_table, 1);
		return false;
	}
	entry->begun = now_us();
	entry->destination = destination;
	if (!opens) { /* what the SYN says counts when the client is accepted */
		entry->error = error;
		return false;
	}
	if (s.options->syn_open == SYN_OPEN_HOLD) {
		entry->packet = malloc(length);
		if (!entry->packet) {
			forget(entry);
			return false;
		}
		memcpy(entry->packet, packet, length);
		entry->length = length;
	}
	open_server(entry);
	return true;
}

static bool is_named(int ifindex)
{
	char name[IF_NAMESIZE];

	if (!if_indextoname(ifindex, name))
		return false;
	for (unsigned int i = 0; i < s.options->syn_interface_count; i++)
		if (!strcmp(s.options->syn_interfaces[i], name))
			return true;
	return false;
}

/*
 * Whether transparent doors take what comes by this interface. The kernel tells a name in three system calls, so a yes
 * holds for a while; a no does not, since a SYN that our rule drops would be lost if its interface was renamed just now.
 */
static bool is_client_side(int ifindex)
{
	static struct {
		int ifindex;
		uint64_t until;
	} known[NAMES_KNOWN];
	unsigned int slot = (unsigned int)ifindex % NAMES_KNOWN;
	uint64_t now;

	if (!s.options->syn_interface_count)
		return true;
	now = now_us();
	if (known[slot].ifindex == ifindex && now < known[slot].until)
		return true;
	if (!is_named(ifindex))
		return false;
	known[slot].ifindex = ifindex;
	known[slot].until = now + NAME_MS * 1000;
	return true;
}

/* Whether the SYN will come to one of our doors; what passes through, or is for others, is left alone. */
static bool is_ours(const struct syn *syn, const struct sockaddr_ll *from)
{
	const struct door *door = door_of(syn);

	if (!door || from->sll_hatype == ARPHRD_LOOPBACK) /* our own, and those that we gave back */
		return false;
	return door->mode != MODE_TRANSPARENT ||
	       (is_client_side(from->sll_ifindex) && !server_is_ours(&s.probe, &syn->to, now_ms()));
}

static void take_packet(uint8_t *packet, size_t length, const struct sockaddr_ll *from)
{
	struct syn syn;

	if (length > SYN_MAX || !syn_parse(packet, length, &syn) || !is_ours(&syn, from))
		return;
	stats_add(&s.stats, syn_seen, 1);
	if (!take(&syn, packet, length) && s.options->syn_open == SYN_OPEN_HOLD && !syn.join)
		give_back(&syn.to, packet, length);
}

/*
 * SYNs that have come, at most so many. Runs in the thread, and in a loop that accepted a client whose SYN still
 * waits here.
 */
static void read_syns(int fd, unsigned int most)
{
	static uint8_t packets[AT_ONCE][SYN_MAX];
	static struct sockaddr_ll from[AT_ONCE];
	static struct iovec parts[AT_ONCE];
	static struct mmsghdr messages[AT_ONCE];
	int n;

	do {
		for (int i = 0; i < AT_ONCE; i++) {
			parts[i] = (struct iovec){ packets[i], SYN_MAX };
			messages[i].msg_hdr = (struct msghdr){
				.msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &parts[i], .msg_iovlen = 1,
			};
		}
		n = recvmmsg(fd, messages, AT_ONCE, MSG_DONTWAIT | MSG_TRUNC, NULL);
		for (int i = 0; i < n; i++)
			take_packet(packets[i], messages[i].msg_len, &from[i]);
		most -= AT_ONCE;
	} while (n == AT_ONCE && most);
}

static void expire(void)
{
	static uint64_t counted;
	uint64_t now = now_us();

	if (now - counted > 1000000) {
		counted = now;
		for (int i = 0; i < 2; i++)
			if (s.sockets[i] >= 0)
				stats_add(&s.stats, syn_lost, syn_socket_lost(s.sockets[i]));
	}
	while (s.table.oldest && now - s.table.oldest->begun > EXPIRY_MS * 1000) {
		stats_add(&s.stats, syn_expired, 1);
		forget(s.table.oldest);
	}
}

static void answer(struct syn_entry *entry)
{
	struct sockaddr_storage peer;
	int error = 0;
	socklen_t length = sizeof(error);

	/* The entry may have been claimed, and be another's by now, while the event was on its way. */
	if (entry->fd < 0 || entry->released)
		return;
	getsockopt(entry->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	length = sizeof(peer);
	if (error || !getpeername(entry->fd, (struct sockaddr *)&peer, &length))
		settle(entry, error);
}

/* What epoll gives back is one of our sockets, or else an entry of the table. */
static void handle(const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		void *watched = events[i].data.ptr;

		if (watched != &s.wake && watched != &s.sockets[0] && watched != &s.sockets[1])
			answer(watched);
	}
	/* After the answers: a SYN may put its entry where another's was. */
	for (int i = 0; i < count; i++)
		if (events[i].data.ptr == &s.sockets[0] || events[i].data.ptr == &s.sockets[1])
			read_syns(*(int *)events[i].data.ptr, AT_ONCE);
}

static void *run(void *unused)
{
	struct epoll_event events[AT_ONCE];
	uint64_t count;

	for (;;) {
		int n = epoll_wait(s.epoll, events, AT_ONCE, s.table.count ? 1000 : -1);

		pthread_mutex_lock(&s.lock);
		handle(events, n);
		if (s.stop && read(s.wake, &count, sizeof(count)) > 0) {
			for (int i = 0; i < 2; i++) {
				close(s.sockets[i]);
				s.sockets[i] = -1;
			}
		}
		expire();
		if (s.stop && !s.table.count) {
			pthread_mutex_unlock(&s.lock);
			return unused;
		}
		pthread_mutex_unlock(&s.lock);
	}
}

static void die(const char *what)
{
	fprintf(stderr, "smapp-convert: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(int *fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = fd };

	if (epoll_ctl(s.epoll, EPOLL_CTL_ADD, *fd, &event))
		die("epoll_ctl");
}

void syn_open_start(const struct options *options)
{
	static const int families[2] = { AF_INET, AF_INET6 };
	pthread_t thread;

	if (!options->syn_open && !options->dst_opt)
		return;
	s.options = options;
	syn_table_init(&s.table, options->syn_table);
	s.rates = syn_rates_new(options->syn_rate);
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	s.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s.epoll < 0 || s.wake < 0 || !probe_open(&s.probe))
		die("starting the thread for SYNs");
	for (int i = 0; i < 2; i++) {
		s.sockets[i] = syn_socket(options, families[i]);
		s.give_back[i] = raw_socket(families[i], options->syn_mark);
		s.reset[i] = raw_socket(families[i], 0);
		if (s.sockets[i] >= 0 && s.give_back[i] >= 0 && s.reset[i] >= 0) {
			watch(&s.sockets[i]);
			continue;
		}
		if (families[i] == AF_INET6 && errno == EAFNOSUPPORT)
			continue;
		if (options->syn_open == SYN_OPEN_HOLD) /* somebody drops the SYNs, trusting in us */
			die("packet and raw sockets (CAP_NET_RAW, CAP_NET_ADMIN)");
		fprintf(stderr, "smapp-convert: SYNs cannot be seen (%s; CAP_NET_RAW): no SYN-time opening, no DST_OPT\n",
			strerror(errno));
		s.options = NULL;
		return;
	}
	watch(&s.wake);
	if ((errno = pthread_create(&thread, NULL, run, NULL)))
		die("starting the thread for SYNs");
	pthread_detach(thread);
}

void syn_open_stop(void)
{
	uint64_t one = 1;

	if (!s.options)
		return;
	pthread_mutex_lock(&s.lock);
	s.stop = true;
	pthread_mutex_unlock(&s.lock);
	if (write(s.wake, &one, sizeof(one)) < 0)
		perror("smapp-convert: eventfd");
}

bool syn_open_claim(const struct address *peer, const struct address *local, struct syn_claim *claim)
{
	struct syn_entry *entry;

	if (!s.options)
		return false;
	pthread_mutex_lock(&s.lock);
	entry = syn_table_find(&s.table, peer, local);
	if (!entry) {
		read_syns(s.sockets[!address_is_v4(peer)], CATCH_UP);
		entry = syn_table_find(&s.table, peer, local);
	}
	if (entry) {
		*claim = (struct syn_claim){
			.destination = entry->destination, .fd = entry->fd, .error = entry->error,
			.begun = entry->begun, .connected = entry->connected,
		};
		if (entry->fd >= 0 && s.options->syn_open == SYN_OPEN_HOLD && !entry->released)
			epoll_ctl(s.epoll, EPOLL_CTL_DEL, entry->fd, NULL);
		stats_add(&s.stats, syn_used, entry->fd >= 0 || entry->error);
		syn_table_remove(&s.table, entry);
	}
	pthread_mutex_unlock(&s.lock);
	return entry;
}
