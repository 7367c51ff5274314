// SPDX-License-Identifier: MIT
/*
 * What the converter makes of bytes, in words, for converter-codec.test.ts. A line in, a line out:
 *	convert HEX | syn HEX | refuse HEX | checksum HEX | cookie KEY ADDRESS | access ADDRESS | prefix PREFIX ADDRESS
 */
#include "../../native/converter/access.h"
#include "../../native/converter/convert.h"
#include "../../native/converter/cookie.h"
#include "../../native/converter/syn.h"

#include <stdio.h>
#include <string.h>

static size_t unhex(const char *text, uint8_t *out, size_t room)
{
	unsigned int byte;
	size_t n = 0;

	for (; n < room && sscanf(text, "%2x", &byte) == 1; text += 2)
		out[n++] = byte;
	return n;
}

static void print_bytes(const char *name, const uint8_t *at, size_t length)
{
	if (!at)
		return;
	printf(" %s=", name);
	for (size_t i = 0; i < length; i++)
		printf("%02x", at[i]);
}

static void convert(const uint8_t *bytes, size_t size)
{
	struct convert_message m;
	int length = convert_parse(bytes, size, &m);
	char text[ADDRESS_TEXT];

	if (length <= 0) { /* what was read before the error means nothing */
		struct convert_message partial = m;

		memset(&m, 0, sizeof(m));
		m.error_code = partial.error_code;
		m.error_value = partial.error_value;
	}
	printf(length < 0 ? "wrong" : length ? "length=%d" : "more", length);
	if (m.info)
		printf(" info");
	if (m.connect)
		printf(" connect=%s", address_text(&m.destination, text));
	if (m.connect)
		print_bytes("options", m.options.at, m.options.length);
	print_bytes("extended", m.extended.at, m.extended.length);
	print_bytes("supported", m.supported.at, m.supported.length);
	print_bytes("cookie", m.cookie.at, m.cookie.length);
	if (m.error || length < 0)
		printf(" error=%s", convert_error_text(m.error_code));
	print_bytes("value", m.error_value.at, m.error_value.length);
	printf("\n");
}

static void syn(const uint8_t *bytes, size_t size)
{
	struct syn s;
	char from[ADDRESS_TEXT], to[ADDRESS_TEXT];

	if (!syn_parse(bytes, size, &s)) {
		printf("no syn\n");
		return;
	}
	printf("%s > %s seq=%u%s", address_text(&s.from, from), address_text(&s.to, to), s.sequence, s.join ? " join" : "");
	if (s.names_destination)
		printf(" destination=%s", address_text(&s.destination, to));
	printf("\n");
}

static bool parse_ip(const char *ip, struct address *a)
{
	char text[ADDRESS_TEXT];

	snprintf(text, sizeof(text), strchr(ip, ':') ? "[%s]:0" : "%s:0", ip);
	return address_parse(text, a);
}

int main(void)
{
	char line[8192], word[16], first[4096], second[256];
	static const struct access none;

	while (fgets(line, sizeof(line), stdin)) {
		uint8_t bytes[2048], reset[RESET_BYTES];
		struct address a;
		struct prefix p;
		struct syn s;
		int words = sscanf(line, "%15s %4095s %255s", word, first, second);
		size_t size = words > 1 ? unhex(first, bytes, sizeof(bytes)) : 0;

		if (!strcmp(word, "convert")) {
			convert(bytes, size);
		} else if (!strcmp(word, "syn")) {
			syn(bytes, size);
		} else if (!strcmp(word, "refuse") && syn_parse(bytes, size, &s)) {
			print_bytes("reset", reset, syn_refusal(&s, reset));
			printf("\n");
		} else if (!strcmp(word, "checksum")) {
			syn_checksum(bytes, size);
			print_bytes("packet", bytes, size);
			printf("\n");
		} else if (!strcmp(word, "cookie") && parse_ip(second, &a)) {
			cookie_make(bytes, &a.ip, reset);
			print_bytes("cookie", reset, COOKIE_BYTES);
			printf("\n");
		} else if (!strcmp(word, "access") && parse_ip(first, &a)) {
			printf("%s\n", access_destination(&none, &a.ip, true) ? "yes" : "no");
		} else if (!strcmp(word, "prefix") && prefix_parse(first, &p) && parse_ip(second, &a)) {
			printf("%s\n", prefix_holds(&p, &a.ip) ? "yes" : "no");
		} else {
			printf("?\n");
		}
	}
	return 0;
}
