// SPDX-License-Identifier: MIT
#include "convert_client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void set_timeout(int fd, int ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

/* Connects and sends the request, in the SYN if possible. */
static int send_request(const struct convert_dial *dial, const struct convert_writer *w)
{
	struct sockaddr_storage to;
	socklen_t length = address_to_sockaddr(&dial->converter, AF_UNSPEC, &to);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, dial->tcp ? IPPROTO_TCP : IPPROTO_MPTCP);
	int one = 1;
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	if (dial->timeout_ms)
		set_timeout(fd, dial->timeout_ms);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (dial->fast_open)
		n = sendto(fd, w->bytes, w->length, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&to, length);
	if (n < 0 && (!dial->fast_open || errno == EOPNOTSUPP || errno == EPIPE) &&
	    !connect(fd, (struct sockaddr *)&to, length))
		n = send(fd, w->bytes, w->length, MSG_NOSIGNAL);
	if (n == (ssize_t)w->length)
		return fd;
	close(fd);
	return -1;
}

/* Reads exactly the converter's message, and nothing of what the server sends after it. */
static int read_answer(int fd, uint8_t bytes[CONVERT_MAX], struct convert_message *m)
{
	size_t have = 0, want = 4;

	for (;;) {
		ssize_t n = recv(fd, bytes + have, want - have, 0);
		int length;

		if (n <= 0) {
			errno = n ? errno : ECONNRESET;
			return -1;
		}
		have += n;
		length = convert_parse(bytes, have, m);
		if (length < 0) {
			errno = EPROTO;
			return -1;
		}
		if (length)
			return length;
		if (have >= 4)
			want = bytes[1] * 4;
	}
}

static int error_number(uint8_t code)
{
	switch (code) {
	case CONVERT_CONNECTION_RESET:
		return ECONNREFUSED;
	case CONVERT_DESTINATION_UNREACHABLE:
		return EHOSTUNREACH;
	case CONVERT_NETWORK_FAILURE:
		return ETIMEDOUT;
	case CONVERT_RESOURCE_EXCEEDED:
		return EAGAIN;
	case CONVERT_NOT_AUTHORIZED:
	case CONVERT_MISSING_COOKIE:
		return EACCES;
	default:
		return EPROTO;
	}
}

int convert_dial(struct convert_dial *dial, int *refusal)
{
	bool learned = false;

	*refusal = -1;
	for (;;) {
		uint8_t bytes[CONVERT_MAX];
		struct convert_message answer;
		struct convert_writer w;
		int fd, error;

		convert_begin(&w);
		if (dial->cookie_length)
			convert_put_bytes(&w, CONVERT_COOKIE, dial->cookie, dial->cookie_length);
		convert_put_connect(&w, &dial->destination, NULL, 0);
		convert_end(&w);
		fd = send_request(dial, &w);
		if (fd < 0)
			return -1;
		if (read_answer(fd, bytes, &answer) > 0 && !answer.error)
			return fd;
		error = errno;
		close(fd);
		if (!answer.error) {
			errno = error;
			return -1;
		}
		if (answer.error_code == CONVERT_MISSING_COOKIE && answer.cookie.at && !learned) {
			learned = true;
			dial->cookie_length = answer.cookie.length;
			memcpy(dial->cookie, answer.cookie.at, answer.cookie.length);
			continue;
		}
		*refusal = answer.error_code;
		errno = error_number(answer.error_code);
		return -1;
	}
}
