/* SPDX-License-Identifier: MIT */
/* What the parts of the addon share: a loaded object, and the handling of calls and errors (call.c). */
#ifndef SMAPPD_LOADER_H
#define SMAPPD_LOADER_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <uv.h>
#include <bpf/libbpf.h>
#include <stdarg.h>

#define MAX_LINKS 16
#define NAME_SIZE 64

struct object {
	napi_env env;
	struct bpf_object *bpf;
	struct bpf_link *links[MAX_LINKS];
	int link_count;
	struct ring_buffer *ring;
	uv_poll_t *poll;
	napi_ref self;          /* strong while watched */
	napi_ref callback;
	napi_ref batch;
	char *records;
	size_t record_size;
	uint32_t count;
};

/* The arguments of a call, and the object that it was made on (none for module functions). */
struct call {
	size_t count;
	napi_value arguments[3];
	struct object *object;
};

/* Reads the arguments; 0 with an exception pending when the object was closed. */
int begin(napi_env env, napi_callback_info info, struct call *call);
/* Forgets what libbpf said before: for functions that are not called on an object. */
void forget_log(void);
int keep_log(enum libbpf_print_level level, const char *format, va_list arguments);
/* Throws; `error` is an errno, of either sign. */
napi_value fail(napi_env env, const char *what, int error);

/* Arguments; NULL, or an empty text, with an exception pending. */
const char *text_argument(napi_env env, napi_value value, char *buffer, size_t size);
struct bpf_program *program_argument(napi_env env, struct call *call);
struct bpf_map *map_argument(napi_env env, struct call *call);
/* Bytes of exactly `size`. */
void *bytes_argument(napi_env env, napi_value value, size_t size, const char *what);

/* maps.c */
napi_value object_lookup(napi_env env, napi_callback_info info);
napi_value object_update(napi_env env, napi_callback_info info);
napi_value object_remove(napi_env env, napi_callback_info info);

/* ring.c */
napi_value object_watch(napi_env env, napi_callback_info info);
void unwatch(struct object *object);

#endif
