// SPDX-License-Identifier: MIT
/* Maps by name: single values in, out and away. */
#include "loader.h"
#include <bpf/bpf.h>
#include <errno.h>

napi_value object_lookup(napi_env env, napi_callback_info info)
{
	struct call call;
	struct bpf_map *map;
	napi_value result;
	void *key, *value;

	if (!begin(env, info, &call) || !(map = map_argument(env, &call)))
		return NULL;
	key = bytes_argument(env, call.arguments[1], bpf_map__key_size(map), "key of the wrong size");
	if (!key)
		return NULL;
	napi_create_buffer(env, bpf_map__value_size(map), &value, &result);
	if (!bpf_map_lookup_elem(bpf_map__fd(map), key, value))
		return result;
	return errno == ENOENT ? NULL : fail(env, bpf_map__name(map), errno);
}

napi_value object_update(napi_env env, napi_callback_info info)
{
	struct call call;
	struct bpf_map *map;
	void *key, *value;

	if (!begin(env, info, &call) || !(map = map_argument(env, &call)))
		return NULL;
	key = bytes_argument(env, call.arguments[1], bpf_map__key_size(map), "key of the wrong size");
	if (!key)
		return NULL;
	value = bytes_argument(env, call.arguments[2], bpf_map__value_size(map), "value of the wrong size");
	if (!value)
		return NULL;
	if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY))
		return fail(env, bpf_map__name(map), errno);
	return NULL;
}

napi_value object_remove(napi_env env, napi_callback_info info)
{
	struct call call;
	struct bpf_map *map;
	napi_value result;
	void *key;
	int missing;

	if (!begin(env, info, &call) || !(map = map_argument(env, &call)))
		return NULL;
	key = bytes_argument(env, call.arguments[1], bpf_map__key_size(map), "key of the wrong size");
	if (!key)
		return NULL;
	missing = bpf_map_delete_elem(bpf_map__fd(map), key);
	if (missing && errno != ENOENT)
		return fail(env, bpf_map__name(map), errno);
	napi_get_boolean(env, !missing, &result);
	return result;
}
