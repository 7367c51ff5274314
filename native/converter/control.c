// SPDX-License-Identifier: MIT
#include "control.h"

#include "kernel.h"
#include "pair.h"
#include "syn_open.h"

#include <errno.h>
#include <linux/mptcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_A_MESSAGE 64
#define PATH_BYTES 128
#define CLIENT_MS 2000 /* for a client of this socket to send its line, and to take the answer */

struct control {
	const struct options *options;
	struct loop *loops;
	int listener, signals;
	char path[PATH_BYTES]; /* as bound now; empty: none */
	uint64_t started, drain_since;
};

static void die(const char *what, const char *path)
{
	fprintf(stderr, "smapp-convert: %s %s: %s\n", what, path, strerror(errno));
	exit(1);
}

static struct sockaddr_un unix_address(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		die("control socket", path);
	}
	strcpy(un.sun_path, path);
	return un;
}

/* Takes the place of a predecessor's socket in one step, so that the path always leads somewhere. */
static int listen_at(const char *path)
{
	char temporary[PATH_BYTES];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un un;

	snprintf(temporary, sizeof(temporary), "%s.%d", path, getpid());
	un = unix_address(temporary);
	unlink(temporary);
	umask(0117);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) || listen(fd, 16) || rename(temporary, path))
		die("control socket", path);
	return fd;
}

static void timeouts(int fd)
{
	struct timeval t = { .tv_sec = CLIENT_MS / 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

/* Sends a word to the process that listens at the path. Returns the socket, or -1 when nobody is there. */
static int ask(const char *path, const char *word)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un un = unix_address(path);

	if (fd >= 0 && !connect(fd, (struct sockaddr *)&un, sizeof(un))) {
		timeouts(fd);
		if (dprintf(fd, "%s\n", word) > 0)
			return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

void control_relieve(const struct options *options)
{
	char answer[64];
	int fd = ask(options->control, "drain");

	while (fd >= 0 && read(fd, answer, sizeof(answer)) > 0)
		;
	if (fd >= 0)
		close(fd);
}

void control_inherit(const struct options *options, struct inheritance *inherited)
{
	char data[256], room[CMSG_SPACE(FDS_A_MESSAGE * sizeof(int))];
	int fd = ask(options->control, "listeners");

	while (fd >= 0) {
		struct iovec iov = { data, sizeof(data) - 1 };
		struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
		ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

		if (n <= 0)
			break;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
			unsigned int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
				continue;
			if (inherited->count + count > LISTENERS_MAX)
				count = LISTENERS_MAX - inherited->count;
			memcpy(&inherited->fds[inherited->count], CMSG_DATA(c), count * sizeof(int));
			inherited->count += count;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void drain(struct control *control)
{
	char path[PATH_BYTES];

	if (control->drain_since)
		return;
	control->drain_since = now_ms();
	syn_open_stop();
	kernel_drain();
	for (unsigned int i = 0; i < control->options->threads; i++)
		loop_drain(&control->loops[i]);
	if (!control->path[0])
		return;
	snprintf(path, sizeof(path), "%s.%d", control->options->control, getpid());
	if (!rename(control->path, path))
		strcpy(control->path, path);
}

static bool send_fds(int client, const int *fds, unsigned int count)
{
	char room[CMSG_SPACE(FDS_A_MESSAGE * sizeof(int))] = { 0 }, data[64];
	struct iovec iov = { data, snprintf(data, sizeof(data), "{\"listeners\":%u}\n", count) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	return sendmsg(client, &message, MSG_NOSIGNAL) == (ssize_t)iov.iov_len;
}

static void send_listeners(const struct control *control, int client)
{
	int fds[FDS_A_MESSAGE];
	unsigned int count = 0;

	for (unsigned int l = 0; !control->drain_since && l < control->options->threads; l++) {
		for (unsigned int d = 0; d < control->options->door_count; d++) {
			fds[count++] = control->loops[l].listeners[d].source.fd;
			if (count == FDS_A_MESSAGE) {
				if (!send_fds(client, fds, count))
					return;
				count = 0;
			}
		}
	}
	if (count)
		send_fds(client, fds, count);
}

static struct stats sum(const struct control *control)
{
	struct stats total = *syn_open_stats();

	for (unsigned int i = 0; i < control->options->threads; i++) {
#define X(name) total.name += stats_get(&control->loops[i].stats, name);
		STATS(X)
#undef X
	}
	kernel_add_stats(&total);
	return total;
}

static unsigned long long resident_bytes(void)
{
	unsigned long long whole, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &whole, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * sysconf(_SC_PAGESIZE);
}

static void print_stats(const struct control *control, FILE *out)
{
	struct stats total = sum(control);

	fprintf(out, "{\"pid\":%d,\"threads\":%u,\"draining\":%s,\"uptime_ms\":%llu,\"rss_bytes\":%llu", getpid(),
		control->options->threads, control->drain_since ? "true" : "false",
		(unsigned long long)(now_ms() - control->started), resident_bytes());
#define X(name) fprintf(out, ",\"" #name "\":%llu", (unsigned long long)total.name);
	STATS(X)
#undef X
	fputs("}\n", out);
}

static const char *const state_names[] = { "request", "connect", "relay", "answer", "dead" };

/* The client's side as MPTCP sees it; protocol "tcp" when the client does not speak MPTCP, or fell back. */
static void print_mptcp(int fd, FILE *out)
{
	struct mptcp_info info = { 0 };
	socklen_t length = sizeof(info);

	if (getsockopt(fd, SOL_MPTCP, MPTCP_INFO, &info, &length) || info.mptcpi_flags & MPTCP_INFO_FLAG_FALLBACK)
		fputs(",\"protocol\":\"tcp\"", out);
	else /* the kernel counts the further subflows only */
		fprintf(out, ",\"protocol\":\"mptcp\",\"token\":%u,\"subflows\":%u", info.mptcpi_token, info.mptcpi_subflows + 1);
}

static void print_pair(const struct pair *pair, uint64_t now, FILE *out)
{
	char peer[ADDRESS_TEXT], destination[ADDRESS_TEXT];

	fprintf(out, "{\"client\":\"%s\",\"server\":\"%s\",\"state\":\"%s\",\"age_ms\":%llu,\"idle_ms\":%llu,\"open_us\":%u"
		",\"syn_timed\":%s,\"bytes_up\":%llu,\"bytes_down\":%llu,\"held\":%u",
		address_text(&pair->peer, peer), address_text(&pair->destination, destination), state_names[pair->state],
		(unsigned long long)(now - pair->since), (unsigned long long)(now - pair->active), pair->open_us,
		pair->syn_timed ? "true" : "false", (unsigned long long)pair->up.bytes, (unsigned long long)pair->down.bytes,
		(pair->up.held ? pair->up.length : 0) + (pair->down.held ? pair->down.length : 0));
	print_mptcp(pair->client.source.fd, out);
	fputs("}\n", out);
}

/* Into memory first: the loop waits for the lock while we print. */
static void print_connections(const struct control *control, FILE *out)
{
	for (unsigned int i = 0; i < control->options->threads; i++) {
		struct loop *loop = &control->loops[i];
		char *text = NULL;
		size_t length = 0;
		FILE *memory = open_memstream(&text, &length);

		if (!memory)
			return;
		pthread_mutex_lock(&loop->lock);
		for (const struct pair *pair = loop->pairs; pair; pair = pair->next)
			print_pair(pair, now_ms(), memory);
		pthread_mutex_unlock(&loop->lock);
		fclose(memory);
		fwrite(text, 1, length, out);
		free(text);
	}
	kernel_print_connections(out);
}

static void serve(struct control *control, int client)
{
	char line[64];
	ssize_t n;
	FILE *out;

	timeouts(client);
	n = read(client, line, sizeof(line) - 1);
	out = n > 0 ? fdopen(client, "w") : NULL;
	if (!out) {
		close(client);
		return;
	}
	line[n] = 0;
	line[strcspn(line, "\r\n")] = 0;
	if (!strcmp(line, "stats")) {
		print_stats(control, out);
	} else if (!strcmp(line, "connections")) {
		print_connections(control, out);
		fputs("{\"end\":true}\n", out);
	} else if (!strcmp(line, "listeners")) {
		send_listeners(control, client);
		fputs("{\"end\":true}\n", out);
	} else if (!strcmp(line, "drain")) {
		drain(control);
		fputs("{\"end\":true}\n", out);
	} else {
		fputs("{\"error\":\"say stats, connections, listeners or drain\"}\n", out);
	}
	fclose(out);
}

static bool drained(const struct control *control)
{
	return control->drain_since && (!sum(control).active || now_ms() - control->drain_since > control->options->drain_ms);
}

void control_serve(const struct options *options, struct loop *loops)
{
	struct control control = { .options = options, .loops = loops, .listener = -1, .started = now_ms() };
	struct pollfd polls[2];
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	control.signals = signalfd(-1, &signals, SFD_CLOEXEC);
	if (options->control) {
		control.listener = listen_at(options->control);
		snprintf(control.path, sizeof(control.path), "%s", options->control);
	}
	polls[0] = (struct pollfd){ .fd = control.signals, .events = POLLIN };
	polls[1] = (struct pollfd){ .fd = control.listener, .events = POLLIN };
	while (!drained(&control)) {
		int n = poll(polls, 2, control.drain_since ? 100 : -1);

		if (n > 0 && polls[0].revents)
			break;
		if (n > 0 && polls[1].revents) {
			int client = accept4(control.listener, NULL, NULL, SOCK_CLOEXEC);

			if (client >= 0)
				serve(&control, client);
		}
	}
	if (control.path[0])
		unlink(control.path);
}
