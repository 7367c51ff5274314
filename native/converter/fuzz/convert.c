// SPDX-License-Identifier: MIT
/* libFuzzer target: a message is parsed within its bounds, and written again means the same. */
#include "../convert.h"

#include <stdlib.h>
#include <string.h>

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void inside(struct convert_bytes part, const uint8_t *bytes, size_t length)
{
	check(!part.at || (part.at >= bytes && part.at + part.length <= bytes + length));
}

static bool same(struct convert_bytes a, struct convert_bytes b)
{
	return !a.at == !b.at && a.length == b.length && (!a.length || !memcmp(a.at, b.at, a.length));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct convert_message m, again;
	struct convert_writer w;
	int length = convert_parse(bytes, size, &m);

	check(length >= -1 && length <= (int)size);
	convert_begin(&w);
	if (length == 0)
		return 0;
	if (length < 0) { /* the answer must be a message itself */
		convert_put_error(&w, m.error_code, m.error_value.at, m.error_value.length);
		convert_end(&w);
		check(convert_parse(w.bytes, w.length, &again) == (int)w.length && again.error);
		check(again.error_code == m.error_code);
		return 0;
	}
	inside(m.options, bytes, length);
	inside(m.extended, bytes, length);
	inside(m.supported, bytes, length);
	inside(m.cookie, bytes, length);
	inside(m.error_value, bytes, length);
	if (m.info)
		convert_put_info(&w);
	if (m.connect)
		convert_put_connect(&w, &m.destination, m.options.at, m.options.length);
	if (m.extended.at)
		convert_put_bytes(&w, CONVERT_EXTENDED_HEADER, m.extended.at, m.extended.length);
	if (m.supported.at)
		convert_put_bytes(&w, CONVERT_SUPPORTED, m.supported.at, m.supported.length);
	if (m.cookie.at)
		convert_put_bytes(&w, CONVERT_COOKIE, m.cookie.at, m.cookie.length);
	if (m.error)
		convert_put_error(&w, m.error_code, m.error_value.at, m.error_value.length);
	convert_end(&w);
	check(convert_parse(w.bytes, w.length, &again) == length);
	check(again.info == m.info && again.connect == m.connect && again.error == m.error);
	check(!m.connect || address_equal(&again.destination, &m.destination));
	check(same(again.options, m.options) && same(again.extended, m.extended) && same(again.supported, m.supported));
	check(same(again.cookie, m.cookie) && same(again.error_value, m.error_value));
	return 0;
}
