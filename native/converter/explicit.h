/* SPDX-License-Identifier: MIT */
/* RFC 8803 on one connection: reads the request, answers it. The messages themselves are convert.h's. */
#ifndef SMAPP_EXPLICIT_H
#define SMAPP_EXPLICIT_H

#include "pair.h"

/* Reads what the client has sent; goes on to pair_connect(), or ends with an error message. */
void explicit_request(struct pair *pair);
/* The server has answered: tells the client. */
void explicit_connected(struct pair *pair);
/* Tells the client why not. Returns false when that could not be sent. */
bool explicit_failed(struct pair *pair, int error);
bool explicit_denied(struct pair *pair);

#endif
