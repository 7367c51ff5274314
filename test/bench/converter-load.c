// SPDX-License-Identifier: MIT
/*
 * Both ends of what the converter's tests and benchmarks send through it.
 *
 * converter-load serve PORT [tcp|mptcp|sink]
 *	A thread a connection. The first line says what is wanted: `get N` (N bytes, then the end), `both N`
 *	(N bytes each way at once, the client's checked), `echo`, `reset N` (N bytes, then a reset), `hang`;
 *	or it is an HTTP request, whose path says how many bytes are wanted. `sink` accepts, and does nothing.
 * converter-load get ADDR:PORT SIZE COUNT CONCURRENCY
 * converter-load both ADDR:PORT SIZE
 * converter-load echo ADDR:PORT SIZE COUNT [GAP_US]
 * converter-load idle ADDR:PORT COUNT      opens them, says so, and waits for the end of standard input
 * converter-load abort ADDR:PORT SIZE      resets in the middle of `get`
 * converter-load peer ADDR:PORT -           connects, says what getpeername() gives
 * converter-load reset ADDR:PORT SIZE      is reset by the server after SIZE bytes
 * converter-load slow ADDR:PORT SIZE KBPS  reads `get` slowly
 * converter-load ask ADDR:PORT SIZE WORD    sends that line, and says how the connection ended
 * converter-load syn ADDR:PORT COUNT [GAP_US]  connects, closes; times connect()
 *	Options before the address: -t plain TCP, -v CONVERTER:PORT by RFC 8803, -f that in the SYN,
 *	-c HEX cookie to show, -e end our side behind the request, -s seconds at most, -H HOST:PORT asks by HTTP,
 *	as one asks a proxy.
 * Results are one JSON object. Every byte is a function of its place in the stream, so loss, damage and
 * reordering show.
 */
#define _GNU_SOURCE
#include "../../native/converter/convert_client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536

static struct {
	bool tcp, fast_open, end;
	struct address via, to;
	bool explicit;
	uint8_t cookie[64];
	size_t cookie_length;
	double seconds;
	const char *http;
} opt = { .seconds = 60 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void fill(uint8_t *out, uint64_t at, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		uint64_t word = ((at + i) / 8 + 1) * 0x9e3779b97f4a7c15ull;

		out[i] = word >> ((at + i) % 8 * 8);
	}
}

/* A table of the stream's first bytes makes checking as cheap as comparing; places beyond are shifted by a prime. */
#define PRIME 65521ull
static uint8_t table[PRIME + CHUNK];

static const uint8_t *expected(uint64_t at)
{
	return table + at % PRIME;
}

static bool write_all(int fd, const void *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = send(fd, (const char *)bytes + done, length - done, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

static bool send_stream(int fd, uint64_t size)
{
	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < CHUNK ? size - at : CHUNK;

		if (!write_all(fd, expected(at), n))
			return false;
		at += n;
	}
	return true;
}

/* Returns how many bytes came, and in @bad how many chunks were wrong. Stops at @limit. */
static uint64_t read_stream(int fd, uint64_t limit, uint64_t *bad)
{
	static __thread uint8_t bytes[CHUNK];
	uint64_t at = 0;

	while (at < limit) {
		ssize_t n = recv(fd, bytes, limit - at < CHUNK ? limit - at : CHUNK, 0);

		if (n <= 0)
			break;
		if (memcmp(bytes, expected(at), n))
			++*bad;
		at += n;
	}
	return at;
}

static void abort_connection(int fd)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	connect(fd, &nowhere, sizeof(nowhere));
	close(fd);
}

struct sending {
	int fd;
	uint64_t size;
	bool good;
};

static void *send_thread(void *context)
{
	struct sending *s = context;

	s->good = send_stream(s->fd, s->size);
	return NULL;
}

/* N bytes each way at once, then a line with what this side saw. */
static bool both_ways(int fd, uint64_t size, uint64_t *got, uint64_t *bad)
{
	struct sending s = { .fd = fd, .size = size };
	pthread_t thread;

	pthread_create(&thread, NULL, send_thread, &s);
	*got = read_stream(fd, size, bad);
	pthread_join(thread, NULL);
	return s.good;
}

/* The first line, or the head of an HTTP request, and no byte more. False when the peer ends before. */
static bool read_request(int fd, char out[1024])
{
	for (;;) {
		ssize_t n = recv(fd, out, 1023, MSG_PEEK);
		const char *end;

		if (n <= 0)
			return false;
		out[n] = 0;
		end = strstr(out, strncmp(out, "GET ", 4) ? "\n" : "\r\n\r\n");
		if (end) {
			n = end - out + (*end == '\n' ? 1 : 4);
			out[n] = 0;
			return recv(fd, out, n, 0) == n;
		}
		usleep(100);
	}
}

static void answer_http(int fd, const char *request)
{
	const char *host = strstr(request, "://"), *path = strchr(host ? host + 3 : request + 4, '/');
	unsigned long long size = path ? strtoull(path + 1, NULL, 10) : 0;
	char head[128];
	uint64_t bad = 0;
	int length = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\nConnection: close\r\n\r\n", size);

	if (write_all(fd, head, length))
		send_stream(fd, size);
	shutdown(fd, SHUT_WR);
	read_stream(fd, UINT64_MAX, &bad);
	close(fd);
}

static void *serve_one(void *context)
{
	int fd = (long)context;
	char line[1024], word[16];
	unsigned long long size = 0;
	size_t n;
	uint64_t got = 0, bad = 0;

	if (!read_request(fd, line) || sscanf(line, "%15s %llu", word, &size) < 1) {
		close(fd);
		return NULL;
	}
	if (!strcmp(word, "GET")) {
		answer_http(fd, line);
		return NULL;
	}
	if (!strcmp(word, "get")) {
		send_stream(fd, size);
		shutdown(fd, SHUT_WR);
		read_stream(fd, UINT64_MAX, &bad);
	} else if (!strcmp(word, "both")) {
		both_ways(fd, size, &got, &bad);
		n = snprintf(line, sizeof(line), "%llu %llu\n", (unsigned long long)got, (unsigned long long)bad);
		write_all(fd, line, n);
		shutdown(fd, SHUT_WR);
		read_stream(fd, UINT64_MAX, &bad);
	} else if (!strcmp(word, "echo")) {
		static __thread char bytes[CHUNK];
		ssize_t r;

		while ((r = recv(fd, bytes, sizeof(bytes), 0)) > 0 && write_all(fd, bytes, r))
			;
	} else if (!strcmp(word, "reset")) {
		send_stream(fd, size);
		usleep(50000); /* the bytes are to arrive first */
		abort_connection(fd);
		return NULL;
	} else if (!strcmp(word, "hang")) {
		sleep(30);
	}
	close(fd);
	return NULL;
}

static int serve(uint16_t port, bool mptcp, bool sink)
{
	int one = 1, off = 0, fd = socket(AF_INET6, SOCK_STREAM, mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	pthread_attr_t attributes;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 8192)) {
		perror("converter-load: serve");
		return 1;
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 << 10);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	for (;;) {
		pthread_t thread;
		int client = accept(fd, NULL, NULL);

		if (client < 0) {
			usleep(10000); /* out of descriptors, most likely */
			continue;
		}
		if (sink)
			continue;
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&thread, &attributes, serve_one, (void *)(long)client))
			close(client);
	}
}

/* Returns a connected socket, or -1; @refusal is RFC 8803's error code, or -1. */
static int dial(int *refusal)
{
	struct sockaddr_storage to;
	struct timeval t = { (time_t)opt.seconds, 0 };
	int fd, one = 1;

	*refusal = -1;
	if (opt.explicit) {
		struct convert_dial d = {
			.converter = opt.via, .destination = opt.to, .tcp = opt.tcp, .fast_open = opt.fast_open,
			.timeout_ms = opt.seconds * 1000, .cookie_length = opt.cookie_length,
		};

		memcpy(d.cookie, opt.cookie, opt.cookie_length);
		return convert_dial(&d, refusal);
	}
	socklen_t length = address_to_sockaddr(&opt.to, AF_UNSPEC, &to);

	fd = socket(to.ss_family, SOCK_STREAM, opt.tcp ? IPPROTO_TCP : IPPROTO_MPTCP);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, length)) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts @v. Values are seconds, printed in microseconds. */
static void print_times(const char *name, double *v, size_t n)
{
	double sum = 0;

	qsort(v, n, sizeof(*v), compare);
	for (size_t i = 0; i < n; i++)
		sum += v[i];
	if (n)
		printf(",\"%s\":{\"n\":%zu,\"min\":%.1f,\"mean\":%.1f,\"median\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name,
		       n, v[0] * 1e6, sum / n * 1e6, v[n / 2] * 1e6, v[n * 9 / 10] * 1e6, v[n * 99 / 100] * 1e6,
		       v[n - 1] * 1e6);
}

static struct {
	uint64_t size, count;
	uint64_t next, done, bad;
	int error, refusal;
	double deadline;
	double *connected, *whole;
} job;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The body of an HTTP response, of which the head is thrown away. */
static uint64_t read_http(int fd, uint64_t *bad)
{
	char head[2048];
	size_t n = 0;

	while (n < sizeof(head) - 1) {
		ssize_t r = recv(fd, head, sizeof(head) - 1, MSG_PEEK);
		char *end;

		if (r <= 0)
			return 0;
		head[r] = 0;
		end = strstr(head, "\r\n\r\n");
		if (end) {
			*bad += !!strncmp(head + 8, " 200", 4);
			if (recv(fd, head, end + 4 - head, 0) <= 0)
				return 0;
			return read_stream(fd, UINT64_MAX, bad);
		}
		n = r;
	}
	return 0;
}

static void *get_thread(void *unused)
{
	char line[256];
	unsigned long long size = job.size;
	int length = opt.http ? snprintf(line, sizeof(line), "GET http://%s/%llu HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
					 opt.http, size, opt.http)
			      : snprintf(line, sizeof(line), "get %llu\n", size);

	for (;;) {
		uint64_t bad = 0, got = 0, index = __atomic_fetch_add(&job.next, 1, __ATOMIC_RELAXED);
		double begin = now(), connected;
		int fd, refusal, error = 0;

		if (index >= job.count || begin > job.deadline)
			return unused;
		fd = dial(&refusal);
		if (fd < 0)
			error = errno;
		connected = now();
		if (fd >= 0) {
			if (write_all(fd, line, length) && (!opt.end || !shutdown(fd, SHUT_WR)))
				got = opt.http ? read_http(fd, &bad) : read_stream(fd, UINT64_MAX, &bad);
			error = got == job.size ? 0 : errno;
			close(fd);
		}
		pthread_mutex_lock(&lock);
		if (got == job.size && !bad && fd >= 0) {
			job.connected[job.done] = connected - begin;
			job.whole[job.done++] = now() - begin;
		} else {
			job.bad++;
			job.error = error;
			job.refusal = refusal;
		}
		pthread_mutex_unlock(&lock);
	}
}

static int get(uint64_t size, uint64_t count, unsigned int concurrency)
{
	pthread_t threads[1024];
	double begin = now(), took;

	if (concurrency > 1024)
		concurrency = 1024;
	job.size = size;
	job.count = count;
	job.refusal = -1;
	job.deadline = begin + opt.seconds;
	job.connected = calloc(count, sizeof(double));
	job.whole = calloc(count, sizeof(double));
	for (unsigned int i = 0; i < concurrency; i++)
		pthread_create(&threads[i], NULL, get_thread, NULL);
	for (unsigned int i = 0; i < concurrency; i++)
		pthread_join(threads[i], NULL);
	took = now() - begin;
	printf("{\"done\":%llu,\"bad\":%llu,\"error\":%d,\"refusal\":%d,\"seconds\":%.6f,\"rate\":%.2f,\"mbits\":%.2f",
	       (unsigned long long)job.done, (unsigned long long)job.bad, job.error, job.refusal, took, job.done / took,
	       job.done * size * 8 / took / 1e6);
	print_times("connect_us", job.connected, job.done);
	print_times("whole_us", job.whole, job.done);
	puts("}");
	return job.bad > 0;
}

static int both(uint64_t size)
{
	char line[64] = "";
	unsigned long long peer_got = 0, peer_bad = 0;
	uint64_t got = 0, bad = 0;
	int refusal, fd = dial(&refusal);
	double begin = now();

	if (fd < 0) {
		printf("{\"error\":%d,\"refusal\":%d}\n", errno, refusal);
		return 1;
	}
	snprintf(line, sizeof(line), "both %llu\n", (unsigned long long)size);
	write_all(fd, line, strlen(line));
	bool sent = both_ways(fd, size, &got, &bad);
	double took = now() - begin;

	shutdown(fd, SHUT_WR);
	memset(line, 0, sizeof(line));
	for (size_t n = 0; n < sizeof(line) - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n';)
		n++;
	sscanf(line, "%llu %llu", &peer_got, &peer_bad);
	close(fd);
	printf("{\"down\":%llu,\"down_bad\":%llu,\"up\":%llu,\"up_bad\":%llu,\"sent\":%s,\"seconds\":%.6f,\"mbits\":%.2f}\n",
	       (unsigned long long)got, (unsigned long long)bad, peer_got, peer_bad, sent ? "true" : "false", took,
	       size * 16 / took / 1e6);
	return got != size || bad || peer_got != size || peer_bad;
}

static int echo(size_t size, uint64_t count, unsigned int gap)
{
	static uint8_t bytes[CHUNK];
	double *times = calloc(count, sizeof(double));
	int refusal, fd = dial(&refusal);
	uint64_t n = 0;

	if (size > CHUNK)
		size = CHUNK;
	if (fd < 0 || !write_all(fd, "echo\n", 5)) {
		printf("{\"error\":%d,\"refusal\":%d}\n", errno, refusal);
		return 1;
	}
	usleep(100000);
	for (; n < count; n++) {
		double begin = now();
		size_t got = 0;

		if (!write_all(fd, table, size))
			break;
		while (got < size) {
			ssize_t r = recv(fd, bytes + got, size - got, 0);

			if (r <= 0)
				break;
			got += r;
		}
		if (got < size || memcmp(bytes, table, size))
			break;
		times[n] = now() - begin;
		if (gap)
			usleep(gap);
	}
	printf("{\"done\":%llu", (unsigned long long)n);
	print_times("echo_us", times, n);
	puts("}");
	return n != count;
}

static int ask(uint64_t size, const char *word)
{
	char line[64];
	uint64_t got, bad = 0;
	double begin = now();
	int refusal, fd = dial(&refusal);

	if (fd < 0) {
		printf("{\"connect\":%d,\"refusal\":%d,\"seconds\":%.3f}\n", errno, refusal, now() - begin);
		return 1;
	}
	write_all(fd, line, snprintf(line, sizeof(line), "%s %llu\n", word, (unsigned long long)size));
	if (opt.end)
		shutdown(fd, SHUT_WR);
	errno = 0;
	got = read_stream(fd, UINT64_MAX, &bad);
	printf("{\"connect\":0,\"got\":%llu,\"bad\":%llu,\"error\":%d,\"seconds\":%.3f}\n", (unsigned long long)got,
	       (unsigned long long)bad, errno, now() - begin);
	close(fd);
	return 0;
}

static int syn(uint64_t count, unsigned int gap)
{
	double *times = calloc(count, sizeof(double));
	uint64_t n = 0, bad = 0;
	int refusal, error = 0;

	for (uint64_t i = 0; i < count; i++) {
		double begin = now();
		int fd = dial(&refusal);

		if (fd < 0) {
			error = errno;
			bad++;
		} else {
			times[n++] = now() - begin;
			abort_connection(fd);
		}
		usleep(gap);
	}
	printf("{\"done\":%llu,\"bad\":%llu,\"error\":%d,\"refusal\":%d", (unsigned long long)n, (unsigned long long)bad, error,
	       refusal);
	print_times("connect_us", times, n);
	puts("}");
	return bad > 0;
}

static int idle(uint64_t count)
{
	uint64_t good = 0;
	int refusal;
	char byte;

	for (uint64_t i = 0; i < count; i++)
		if (dial(&refusal) >= 0)
			good++;
	printf("{\"open\":%llu}\n", (unsigned long long)good);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return good != count;
}

static int abort_or_slow(uint64_t size, unsigned int kbytes_a_second)
{
	static uint8_t bytes[CHUNK];
	char line[64];
	int refusal, fd = dial(&refusal);
	uint64_t at = 0, bad = 0;
	double begin = now();
	ssize_t n = 0;

	if (fd < 0) {
		printf("{\"error\":%d,\"refusal\":%d}\n", errno, refusal);
		return 1;
	}
	snprintf(line, sizeof(line), "get %llu\n", (unsigned long long)size);
	write_all(fd, line, strlen(line));
	while (at < (kbytes_a_second ? size : size / 2)) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			break;
		bad += !!memcmp(bytes, expected(at), n);
		at += n;
		if (kbytes_a_second && at / 1000.0 / kbytes_a_second > now() - begin)
			usleep((at / 1000.0 / kbytes_a_second - (now() - begin)) * 1e6);
	}
	if (!kbytes_a_second)
		abort_connection(fd);
	printf("{\"got\":%llu,\"bad\":%llu,\"error\":%d,\"seconds\":%.3f}\n", (unsigned long long)at, (unsigned long long)bad,
	       n < 0 ? errno : 0, now() - begin);
	return kbytes_a_second && at != size;
}

/* Whom the kernel says that we are connected to. */
static int peer(void)
{
	struct sockaddr_storage at;
	socklen_t length = sizeof(at);
	struct address a;
	char text[ADDRESS_TEXT];
	int refusal, fd = dial(&refusal);

	if (fd < 0 || getpeername(fd, (struct sockaddr *)&at, &length)) {
		printf("{\"error\":%d,\"refusal\":%d}\n", errno, refusal);
		return 1;
	}
	address_from_sockaddr(&a, &at);
	printf("{\"peer\":\"%s\"}\n", address_text(&a, text));
	return 0;
}

/* Asks the server to reset the connection after @size bytes. */
static int reset(uint64_t size)
{
	char line[64];
	int refusal, fd = dial(&refusal), error;
	uint64_t bad = 0, got;

	if (fd < 0) {
		printf("{\"error\":%d,\"refusal\":%d}\n", errno, refusal);
		return 1;
	}
	snprintf(line, sizeof(line), "reset %llu\n", (unsigned long long)size);
	write_all(fd, line, strlen(line));
	errno = 0;
	got = read_stream(fd, UINT64_MAX, &bad);
	error = errno;
	printf("{\"got\":%llu,\"bad\":%llu,\"error\":%d}\n", (unsigned long long)got, (unsigned long long)bad, error);
	return error != ECONNRESET;
}

static void parse_hex(const char *text)
{
	unsigned int byte;

	for (; opt.cookie_length < sizeof(opt.cookie) && sscanf(text, "%2x", &byte) == 1; text += 2)
		opt.cookie[opt.cookie_length++] = byte;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	const char *what = argc > 1 ? argv[1] : "";
	int letter;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	fill(table, 0, PRIME);
	for (size_t i = PRIME; i < sizeof(table); i++)
		table[i] = table[i - PRIME];
	if (!strcmp(what, "serve") && argc >= 3)
		return serve(atoi(argv[2]), argc > 3 && !strcmp(argv[3], "mptcp"), argc > 3 && !strcmp(argv[3], "sink"));
	argc--;
	argv++;
	while ((letter = getopt(argc, argv, "+tv:fec:s:H:")) != -1) {
		if (letter == 't')
			opt.tcp = true;
		else if (letter == 'v')
			opt.explicit = address_parse(optarg, &opt.via);
		else if (letter == 'f')
			opt.fast_open = true;
		else if (letter == 'e')
			opt.end = true;
		else if (letter == 'c')
			parse_hex(optarg);
		else if (letter == 'H')
			opt.http = optarg;
		else if (letter == 's')
			opt.seconds = atof(optarg);
	}
	argc -= optind;
	argv += optind;
	if (argc < 2 || !address_parse(argv[0], &opt.to)) {
		fprintf(stderr, "converter-load: see the top of converter-load.c\n");
		return 2;
	}
	uint64_t a = strtoull(argv[1], NULL, 0), b = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	uint64_t c = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;

	if (!strcmp(what, "get"))
		return get(a, b ? b : 1, c ? c : 1);
	if (!strcmp(what, "both"))
		return both(a);
	if (!strcmp(what, "echo"))
		return echo(a, b ? b : 1, c);
	if (!strcmp(what, "ask"))
		return ask(a, argc > 2 ? argv[2] : "hang");
	if (!strcmp(what, "syn"))
		return syn(a, b);
	if (!strcmp(what, "idle"))
		return idle(a);
	if (!strcmp(what, "abort"))
		return abort_or_slow(a, 0);
	if (!strcmp(what, "peer"))
		return peer();
	if (!strcmp(what, "reset"))
		return reset(a);
	if (!strcmp(what, "slow"))
		return abort_or_slow(a, b);
	fprintf(stderr, "converter-load: no %s\n", what);
	return 2;
}
