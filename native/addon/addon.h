/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the addon's files share: reading arguments, throwing errors. Everything that returns bool
 * leaves a JavaScript exception pending when it returns false.
 */
#ifndef SMAPP_ADDON_H
#define SMAPP_ADDON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 8
#include <node_api.h>
#include <uv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define METHOD(name, function) { name, NULL, function, NULL, NULL, NULL, napi_enumerable, NULL }
#define GETTER(name, function) { name, NULL, NULL, function, NULL, NULL, napi_enumerable, NULL }

struct bytes {
	uint8_t *data;
	size_t length;
};

/* An Error as Node's own: message "CODE: text, syscall", `code`, `errno` (positive) and `syscall`. */
napi_value throw_errno(napi_env env, int error, const char *syscall);
bool get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *argv, napi_value *self);
bool get_int(napi_env env, napi_value value, int32_t *out);
/* NULL for undefined; else to be freed. */
bool get_text(napi_env env, napi_value value, char **out);
/* A Uint8Array, Buffer or Int32Array; the bytes stay the array's. */
bool get_bytes(napi_env env, napi_value value, struct bytes *out);
napi_value make_int(napi_env env, int64_t value);

/* Returns the length of the address, or 0 when the text is none. An IPv6 address may end in "%eth0". */
socklen_t parse_address(const char *ip, int port, struct sockaddr_storage *out);

void netlink_init(napi_env env, napi_value exports);
void socket_init(napi_env env, napi_value exports);
void notify_init(napi_env env, napi_value exports);
void raw_init(napi_env env, napi_value exports);
void peer_init(napi_env env, napi_value exports);

#endif
