// SPDX-License-Identifier: MIT
#include "convert.h"

#include <string.h>

#define WORD 4
#define CONNECT_WORDS 5 /* without TCP options */

static int refuse(struct convert_message *m, enum convert_error code, const uint8_t *value, size_t length)
{
	m->error_code = code;
	m->error_value = (struct convert_bytes){ value, length };
	return -1;
}

/* Whether the options are whole: a kind, a length unless the kind is 0 (end) or 1 (no operation), a value. */
static bool options_whole(const uint8_t *at, size_t length)
{
	while (length && *at != 0) {
		size_t size = *at == 1 ? 1 : length >= 2 ? at[1] : 0;

		if (size < 1 || size > length || (*at != 1 && size < 2))
			return false;
		at += size;
		length -= size;
	}
	return true;
}

/* One TLV, of @length octets with its header. Returns -1 with the error set, or 0. */
static int parse_tlv(struct convert_message *m, const uint8_t *tlv, size_t length)
{
	const struct convert_bytes value = { tlv + WORD, length - WORD };
	struct convert_bytes *into = NULL;

	switch ((enum convert_tlv)tlv[0]) {
	case CONVERT_INFO:
		if (m->info || length != WORD)
			return refuse(m, CONVERT_MALFORMED, NULL, 0);
		m->info = true;
		return 0;
	case CONVERT_CONNECT:
		if (m->connect || length < CONNECT_WORDS * WORD)
			return refuse(m, CONVERT_MALFORMED, NULL, 0);
		m->connect = true;
		m->destination.port = tlv[2] << 8 | tlv[3];
		memcpy(&m->destination.ip, tlv + WORD, 16);
		m->options = (struct convert_bytes){ tlv + CONNECT_WORDS * WORD, length - CONNECT_WORDS * WORD };
		if (!m->destination.port || !options_whole(m->options.at, m->options.length))
			return refuse(m, CONVERT_MALFORMED, NULL, 0);
		return 0;
	case CONVERT_ERROR:
		if (m->error)
			return refuse(m, CONVERT_MALFORMED, NULL, 0);
		m->error = true;
		m->error_code = tlv[2];
		m->error_value = (struct convert_bytes){ tlv + 3, length - 3 };
		return 0;
	case CONVERT_EXTENDED_HEADER:
		into = &m->extended;
		break;
	case CONVERT_SUPPORTED:
		into = &m->supported;
		break;
	case CONVERT_COOKIE:
		into = &m->cookie;
		break;
	default:
		return refuse(m, CONVERT_UNSUPPORTED_MESSAGE, tlv, 1);
	}
	if (into->at) /* each TLV at most once */
		return refuse(m, CONVERT_MALFORMED, NULL, 0);
	*into = value;
	return 0;
}

int convert_parse(const uint8_t *bytes, size_t length, struct convert_message *message)
{
	static const uint8_t version = CONVERT_VERSION;
	size_t total;

	memset(message, 0, sizeof(*message));
	if (length < 1)
		return 0;
	if (bytes[0] != version)
		return refuse(message, CONVERT_UNSUPPORTED_VERSION, &version, 1);
	if (length < WORD)
		return 0;
	total = bytes[1] * WORD;
	if (!total || (bytes[2] << 8 | bytes[3]) != CONVERT_MAGIC)
		return refuse(message, CONVERT_MALFORMED, NULL, 0);
	if (length < total)
		return 0;
	for (size_t at = WORD; at < total;) {
		size_t tlv = bytes[at + 1] * WORD;

		if (!tlv || tlv > total - at)
			return refuse(message, CONVERT_MALFORMED, NULL, 0);
		if (parse_tlv(message, bytes + at, tlv))
			return -1;
		at += tlv;
	}
	return total;
}

void convert_begin(struct convert_writer *w)
{
	memcpy(w->bytes, (uint8_t[]){ CONVERT_VERSION, 1, CONVERT_MAGIC >> 8, CONVERT_MAGIC & 0xff }, WORD);
	w->length = WORD;
}

/* A TLV of @first octets from its third on, then @length octets, rounded up to words. Dropped when there is no room. */
static void put(struct convert_writer *w, enum convert_tlv type, const uint8_t *first, size_t first_length,
		const void *bytes, size_t length)
{
	size_t total = (2 + first_length + length + WORD - 1) / WORD * WORD;
	uint8_t *tlv = w->bytes + w->length;

	if (total > sizeof(w->bytes) - w->length)
		return;
	memset(tlv, 0, total);
	tlv[0] = type;
	tlv[1] = total / WORD;
	memcpy(tlv + 2, first, first_length);
	if (length)
		memcpy(tlv + 2 + first_length, bytes, length);
	w->length += total;
}

void convert_put_info(struct convert_writer *w)
{
	put(w, CONVERT_INFO, (uint8_t[2]){ 0 }, 2, NULL, 0);
}

void convert_put_connect(struct convert_writer *w, const struct address *destination, const uint8_t *options, size_t length)
{
	uint8_t first[18] = { destination->port >> 8, destination->port & 0xff };

	memcpy(first + 2, &destination->ip, 16);
	put(w, CONVERT_CONNECT, first, sizeof(first), options, length);
}

void convert_put_bytes(struct convert_writer *w, enum convert_tlv type, const void *bytes, size_t length)
{
	put(w, type, (uint8_t[2]){ 0 }, 2, bytes, length);
}

void convert_put_error(struct convert_writer *w, enum convert_error code, const void *value, size_t length)
{
	put(w, CONVERT_ERROR, (uint8_t[1]){ code }, 1, value, length);
}

void convert_end(struct convert_writer *w)
{
	w->bytes[1] = w->length / WORD;
}

const char *convert_error_text(uint8_t code)
{
	switch ((enum convert_error)code) {
	case CONVERT_UNSUPPORTED_VERSION:
		return "unsupported version";
	case CONVERT_MALFORMED:
		return "malformed message";
	case CONVERT_UNSUPPORTED_MESSAGE:
		return "unsupported message";
	case CONVERT_MISSING_COOKIE:
		return "missing cookie";
	case CONVERT_NOT_AUTHORIZED:
		return "not authorized";
	case CONVERT_UNSUPPORTED_OPTION:
		return "unsupported TCP option";
	case CONVERT_RESOURCE_EXCEEDED:
		return "resource exceeded";
	case CONVERT_NETWORK_FAILURE:
		return "network failure";
	case CONVERT_CONNECTION_RESET:
		return "connection reset";
	case CONVERT_DESTINATION_UNREACHABLE:
		return "destination unreachable";
	}
	return "unknown error";
}
