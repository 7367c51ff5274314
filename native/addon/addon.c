// SPDX-License-Identifier: GPL-2.0-only
/* The module's entry point, and the few helpers that stand between C and JavaScript. */
#include "addon.h"

#include <stdio.h>
#include <stdlib.h>

napi_value throw_errno(napi_env env, int error, const char *syscall)
{
	napi_value code, message, name, object;
	char text[256];

	snprintf(text, sizeof(text), "%s: %s, %s", uv_err_name(-error), uv_strerror(-error), syscall);
	napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
	napi_create_string_utf8(env, uv_err_name(-error), NAPI_AUTO_LENGTH, &code);
	napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &name);
	napi_create_error(env, code, message, &object);
	napi_set_named_property(env, object, "errno", make_int(env, error));
	napi_set_named_property(env, object, "syscall", name);
	napi_throw(env, object);
	return NULL;
}

bool get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *argv, napi_value *self)
{
	/* Arguments that were not given come out as undefined. */
	return napi_get_cb_info(env, info, &count, argv, self, NULL) == napi_ok;
}

bool get_int(napi_env env, napi_value value, int32_t *out)
{
	if (napi_get_value_int32(env, value, out) == napi_ok)
		return true;
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a number");
	return false;
}

bool get_text(napi_env env, napi_value value, char **out)
{
	napi_valuetype type;
	size_t length;

	*out = NULL;
	if (napi_typeof(env, value, &type) == napi_ok && type == napi_undefined)
		return true;
	if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a string");
		return false;
	}
	*out = malloc(length + 1);
	if (!*out) {
		napi_throw_error(env, "ENOMEM", "out of memory");
		return false;
	}
	napi_get_value_string_utf8(env, value, *out, length + 1, &length);
	return true;
}

bool get_bytes(napi_env env, napi_value value, struct bytes *out)
{
	napi_typedarray_type type;
	size_t count;
	void *data;

	if (napi_get_typedarray_info(env, value, &type, &count, &data, NULL, NULL) == napi_ok &&
	    (type == napi_uint8_array || type == napi_int32_array)) {
		out->data = data;
		out->length = type == napi_int32_array ? count * sizeof(int32_t) : count;
		return true;
	}
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a Uint8Array or Int32Array");
	return false;
}

napi_value make_int(napi_env env, int64_t value)
{
	napi_value out;

	napi_create_int64(env, value, &out);
	return out;
}

NAPI_MODULE_INIT()
{
	netlink_init(env, exports);
	socket_init(env, exports);
	notify_init(env, exports);
	peer_init(env, exports);
	raw_init(env, exports);
	return exports;
}
