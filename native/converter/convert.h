/* SPDX-License-Identifier: MIT */
/*
 * Messages of the 0-RTT TCP Convert Protocol (RFC 8803, section 4), both directions. No I/O, no memory:
 * what a parsed message points to lies in the bytes it was parsed from.
 */
#ifndef SMAPP_CONVERT_H
#define SMAPP_CONVERT_H

#include "address.h"

#include <stddef.h>

#define CONVERT_VERSION 1
#define CONVERT_MAGIC 0x2263
#define CONVERT_PORT 5124
#define CONVERT_MAX (255 * 4) /* the length field counts 32-bit words in one octet */

enum convert_tlv {
	CONVERT_INFO = 1,
	CONVERT_CONNECT = 10,
	CONVERT_EXTENDED_HEADER = 20,
	CONVERT_SUPPORTED = 21,
	CONVERT_COOKIE = 22,
	CONVERT_ERROR = 30,
};

/* Section 4.2.8. */
enum convert_error {
	CONVERT_UNSUPPORTED_VERSION = 0,     /* value: versions that would do */
	CONVERT_MALFORMED = 1,
	CONVERT_UNSUPPORTED_MESSAGE = 2,     /* value: the TLV's type */
	CONVERT_MISSING_COOKIE = 3,	     /* comes with a Cookie TLV to send next time */
	CONVERT_NOT_AUTHORIZED = 32,
	CONVERT_UNSUPPORTED_OPTION = 33,     /* value: the options' kinds */
	CONVERT_RESOURCE_EXCEEDED = 64,
	CONVERT_NETWORK_FAILURE = 65,
	CONVERT_CONNECTION_RESET = 96,
	CONVERT_DESTINATION_UNREACHABLE = 97, /* value: the ICMP code */
};

struct convert_bytes {
	const uint8_t *at; /* NULL: the TLV is not there */
	size_t length;
};

struct convert_message {
	bool info, connect, error;
	struct address destination;	  /* of `connect` */
	struct convert_bytes options;	  /* of `connect`: TCP options for the SYN to the server */
	struct convert_bytes extended;	  /* TCP options of the server's SYN/ACK */
	struct convert_bytes supported;	  /* kinds of TCP options, zeros at the end */
	struct convert_bytes cookie;
	uint8_t error_code;
	struct convert_bytes error_value; /* zeros at the end */
};

/*
 * Parses the message that @bytes begin with. Returns its length; 0 when more bytes are needed; or, for
 * bytes that can never become a message, -1 with @message->error_code and error_value set to the answer.
 */
int convert_parse(const uint8_t *bytes, size_t length, struct convert_message *message);

/* A message being written. */
struct convert_writer {
	uint8_t bytes[CONVERT_MAX];
	size_t length;
};

void convert_begin(struct convert_writer *w);
void convert_put_info(struct convert_writer *w);
void convert_put_connect(struct convert_writer *w, const struct address *destination, const uint8_t *options, size_t length);
/* EXTENDED_HEADER, SUPPORTED or COOKIE; zeros fill the last word. */
void convert_put_bytes(struct convert_writer *w, enum convert_tlv type, const void *bytes, size_t length);
void convert_put_error(struct convert_writer *w, enum convert_error code, const void *value, size_t length);
/* Writes the length into the header. */
void convert_end(struct convert_writer *w);

const char *convert_error_text(uint8_t code);

#endif
