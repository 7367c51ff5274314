/* SPDX-License-Identifier: MIT */
/*
 * Cookies of RFC 8803 (section 4.2.6): a keyed hash (SipHash-2-4) of the client's address, so that the
 * converter keeps nothing per client, and a client behind a forged address never learns its cookie.
 */
#ifndef SMAPP_COOKIE_H
#define SMAPP_COOKIE_H

#include "address.h"

#define COOKIE_KEY 16
#define COOKIE_BYTES 8

void cookie_make(const uint8_t key[COOKIE_KEY], const struct in6_addr *client, uint8_t out[COOKIE_BYTES]);

#endif
