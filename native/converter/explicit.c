// SPDX-License-Identifier: MIT
#include "explicit.h"

#include "convert.h"
#include "cookie.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

/* What the kernel does with a SYN's options by itself: MSS, window scale, SACK, timestamps. */
static const uint8_t kernel_options[] = { 2, 3, 4, 8 };
#define MPTCP_OPTION 30

static bool option_supported(const struct pair *pair, uint8_t kind)
{
	if (kind == MPTCP_OPTION)
		return pair->loop->options->server_mptcp;
	return kind <= 1 || memchr(kernel_options, kind, sizeof(kernel_options));
}

static bool send_all(struct pair *pair, struct convert_writer *w)
{
	convert_end(w);
	/* The first bytes on this connection: an empty send buffer has room for them. */
	return send(pair->client.source.fd, w->bytes, w->length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)w->length;
}

static bool send_error(struct pair *pair, enum convert_error code, const void *value, size_t length)
{
	struct convert_writer w;

	stats_add(&pair->loop->stats, bad_request, 1);
	convert_begin(&w);
	convert_put_error(&w, code, value, length);
	return send_all(pair, &w);
}

static void refuse(struct pair *pair, enum convert_error code, const void *value, size_t length)
{
	pair_answered(pair, send_error(pair, code, value, length));
}

static void answer_info(struct pair *pair)
{
	uint8_t kinds[sizeof(kernel_options) + 1];
	struct convert_writer w;

	memcpy(kinds, kernel_options, sizeof(kernel_options));
	kinds[sizeof(kernel_options)] = MPTCP_OPTION; /* what this converter is for */
	convert_begin(&w);
	convert_put_bytes(&w, CONVERT_SUPPORTED, kinds, sizeof(kinds));
	pair_answered(pair, send_all(pair, &w));
}

/* Returns true when the client has shown its cookie, or needs none. Else it was told. */
static bool check_cookie(struct pair *pair, const struct convert_message *m)
{
	const struct options *options = pair->loop->options;
	uint8_t cookie[COOKIE_BYTES];
	struct convert_writer w;

	if (!options->cookie_key)
		return true;
	cookie_make(options->cookie_key, &pair->peer.ip, cookie);
	if (m->cookie.at && m->cookie.length == sizeof(cookie) && !memcmp(m->cookie.at, cookie, sizeof(cookie)))
		return true;
	if (m->cookie.at) {
		refuse(pair, CONVERT_NOT_AUTHORIZED, NULL, 0);
		return false;
	}
	stats_add(&pair->loop->stats, bad_request, 1);
	convert_begin(&w);
	convert_put_error(&w, CONVERT_MISSING_COOKIE, NULL, 0);
	convert_put_bytes(&w, CONVERT_COOKIE, cookie, sizeof(cookie));
	pair_answered(pair, send_all(pair, &w));
	return false;
}

static bool check_options(struct pair *pair, const struct convert_message *m)
{
	uint8_t unsupported[CONVERT_MAX];
	size_t count = 0;

	for (size_t i = 0; i < m->options.length && m->options.at[i];) {
		uint8_t kind = m->options.at[i];

		if (!option_supported(pair, kind))
			unsupported[count++] = kind;
		i += kind == 1 ? 1 : m->options.at[i + 1];
	}
	if (count)
		refuse(pair, CONVERT_UNSUPPORTED_OPTION, unsupported, count);
	return !count;
}

static void act(struct pair *pair, const struct convert_message *m)
{
	if (m->error || m->supported.at || m->extended.at) /* these are the converter's to send */
		return refuse(pair, CONVERT_MALFORMED, NULL, 0);
	if (!check_cookie(pair, m))
		return;
	if (!m->connect) {
		if (m->info)
			return answer_info(pair);
		return refuse(pair, CONVERT_MALFORMED, NULL, 0);
	}
	if (!check_options(pair, m))
		return;
	pair->convert = true;
	pair->convert_info = m->info;
	pair->destination = m->destination;
	pair->begun = now_us();
	pair_connect(pair);
}

void explicit_request(struct pair *pair)
{
	uint8_t bytes[CONVERT_MAX];
	struct convert_message message;
	ssize_t n = recv(pair->client.source.fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	int length;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) /* ended, or broken, before it asked */
		return pair_close(pair, true);
	length = convert_parse(bytes, n, &message);
	if (length < 0)
		return refuse(pair, message.error_code, message.error_value.at, message.error_value.length);
	if (!length) { /* what has come is left where it is until all is there */
		if (pair->client.ending)
			pair_close(pair, true);
		return;
	}
	if (recv(pair->client.source.fd, bytes, length, MSG_DONTWAIT) != length)
		return pair_close(pair, true);
	act(pair, &message);
}

/* The options that the server agreed to, as TCP_INFO tells them: the SYN/ACK itself is gone by now. */
static size_t server_options(const struct pair *pair, uint8_t out[9])
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	size_t length = 0;

	if (getsockopt(pair->server.source.fd, IPPROTO_TCP, TCP_INFO, &info, &size))
		return 0;
	unsigned int mss = info.tcpi_snd_mss + (info.tcpi_options & TCPI_OPT_TIMESTAMPS ? 12 : 0);

	memcpy(out, (uint8_t[]){ 2, 4, mss >> 8, mss & 0xff }, 4);
	length = 4;
	if (info.tcpi_options & TCPI_OPT_SACK) {
		memcpy(out + length, (uint8_t[]){ 4, 2 }, 2);
		length += 2;
	}
	if (info.tcpi_options & TCPI_OPT_WSCALE) {
		memcpy(out + length, (uint8_t[]){ 3, 3, info.tcpi_snd_wscale }, 3);
		length += 3;
	}
	return length;
}

void explicit_connected(struct pair *pair)
{
	struct convert_writer w;
	uint8_t options[9];
	size_t length = server_options(pair, options);

	convert_begin(&w);
	if (length)
		convert_put_bytes(&w, CONVERT_EXTENDED_HEADER, options, length);
	if (pair->convert_info) {
		uint8_t kinds[] = { 2, 3, 4, 8, MPTCP_OPTION };

		convert_put_bytes(&w, CONVERT_SUPPORTED, kinds, sizeof(kinds));
	}
	send_all(pair, &w);
}

bool explicit_failed(struct pair *pair, int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ECONNRESET:
		return send_error(pair, CONVERT_CONNECTION_RESET, NULL, 0);
	case ENETUNREACH:
		return send_error(pair, CONVERT_DESTINATION_UNREACHABLE, (uint8_t[]){ 0 }, 1);
	case EHOSTUNREACH:
		return send_error(pair, CONVERT_DESTINATION_UNREACHABLE, (uint8_t[]){ 1 }, 1);
	case EACCES:
	case EPERM:
		return send_error(pair, CONVERT_DESTINATION_UNREACHABLE, (uint8_t[]){ 13 }, 1);
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
		return send_error(pair, CONVERT_RESOURCE_EXCEEDED, NULL, 0);
	default:
		return send_error(pair, CONVERT_NETWORK_FAILURE, NULL, 0);
	}
}

bool explicit_denied(struct pair *pair)
{
	return send_error(pair, CONVERT_NOT_AUTHORIZED, NULL, 0);
}
