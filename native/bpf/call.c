// SPDX-License-Identifier: MIT
/* Calls from JavaScript: their arguments, and errors with what libbpf had to say. */
#define _GNU_SOURCE
#include "loader.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What libbpf said since the last call that may fail. The addon runs on one thread. */
static char log_text[16384];
static size_t log_length;

int keep_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	size_t room = sizeof(log_text) - log_length;
	int length;

	if (level == LIBBPF_DEBUG)
		return 0;
	length = vsnprintf(log_text + log_length, room, format, arguments);
	if (length > 0)
		log_length += (size_t)length < room ? (size_t)length : room - 1;
	return 0;
}

void forget_log(void)
{
	log_length = 0;
}

napi_value fail(napi_env env, const char *what, int error)
{
	char message[512];
	napi_value text, code, log, number, exception;

	error = abs(error);
	snprintf(message, sizeof(message), "%s: %s", what, strerror(error));
	napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
	napi_create_string_utf8(env, strerrorname_np(error) ?: "EUNKNOWN", NAPI_AUTO_LENGTH, &code);
	napi_create_string_utf8(env, log_text, log_length, &log);
	napi_create_int32(env, error, &number);
	napi_create_error(env, code, text, &exception);
	napi_set_named_property(env, exception, "errno", number);
	napi_set_named_property(env, exception, "log", log);
	napi_throw(env, exception);
	return NULL;
}

int begin(napi_env env, napi_callback_info info, struct call *call)
{
	napi_value self;

	forget_log();
	call->count = 3;
	call->object = NULL;
	napi_get_cb_info(env, info, &call->count, call->arguments, &self, NULL);
	napi_unwrap(env, self, (void **)&call->object);
	if (call->object && call->object->bpf)
		return 1;
	fail(env, "the eBPF object was closed", EBADF);
	return 0;
}

const char *text_argument(napi_env env, napi_value value, char *buffer, size_t size)
{
	buffer[0] = 0;
	napi_get_value_string_utf8(env, value, buffer, size, NULL);
	return buffer;
}

struct bpf_program *program_argument(napi_env env, struct call *call)
{
	char name[NAME_SIZE];
	struct bpf_program *program;

	text_argument(env, call->arguments[0], name, sizeof(name));
	program = bpf_object__find_program_by_name(call->object->bpf, name);
	if (!program)
		fail(env, name, ENOENT);
	return program;
}

struct bpf_map *map_argument(napi_env env, struct call *call)
{
	char name[NAME_SIZE];
	struct bpf_map *map;

	text_argument(env, call->arguments[0], name, sizeof(name));
	map = bpf_object__find_map_by_name(call->object->bpf, name);
	if (!map)
		fail(env, name, ENOENT);
	return map;
}

void *bytes_argument(napi_env env, napi_value value, size_t size, const char *what)
{
	void *data = NULL;
	size_t length = 0;
	bool is_bytes = false;

	napi_is_buffer(env, value, &is_bytes);
	if (is_bytes)
		napi_get_buffer_info(env, value, &data, &length);
	if (is_bytes && length == size)
		return data;
	fail(env, what, EINVAL);
	return NULL;
}
