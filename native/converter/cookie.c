// SPDX-License-Identifier: MIT
#include "cookie.h"

#include <string.h>

static uint64_t turn(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void rounds(uint64_t v[4], int count)
{
	while (count--) {
		v[0] += v[1];
		v[1] = turn(v[1], 13) ^ v[0];
		v[0] = turn(v[0], 32);
		v[2] += v[3];
		v[3] = turn(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = turn(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = turn(v[1], 17) ^ v[2];
		v[2] = turn(v[2], 32);
	}
}

static uint64_t load(const uint8_t *bytes)
{
	uint64_t x = 0;

	for (int i = 7; i >= 0; i--)
		x = x << 8 | bytes[i];
	return x;
}

void cookie_make(const uint8_t key[COOKIE_KEY], const struct in6_addr *client, uint8_t out[COOKIE_BYTES])
{
	const uint64_t k0 = load(key), k1 = load(key + 8);
	const uint64_t words[3] = { load(client->s6_addr), load(client->s6_addr + 8), 16ull << 56 };
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	uint64_t hash;

	for (int i = 0; i < 3; i++) {
		v[3] ^= words[i];
		rounds(v, 2);
		v[0] ^= words[i];
	}
	v[2] ^= 0xff;
	rounds(v, 4);
	hash = v[0] ^ v[1] ^ v[2] ^ v[3];
	memcpy(out, &hash, COOKIE_BYTES);
}
