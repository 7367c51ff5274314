// SPDX-License-Identifier: MIT
/* A ring buffer as a source of events of Node's loop: records are copied together and delivered in batches. */
#include "loader.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256

/* Collects one record; a negative answer ends the round, and the poll handle starts the next. */
static int on_record(void *context, void *data, size_t size)
{
	struct object *object = context;

	memcpy(object->records + object->count * object->record_size, data,
	       size < object->record_size ? size : object->record_size);
	return ++object->count == BATCH ? -EAGAIN : 0;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct object *object = poll->data;
	napi_env env = object->env;
	napi_handle_scope scope;
	napi_value global, callback, arguments[2], result, exception;

	(void)status;
	(void)events;
	object->count = 0;
	ring_buffer__consume(object->ring);
	if (!object->count)
		return;
	napi_open_handle_scope(env, &scope);
	napi_get_global(env, &global);
	napi_get_reference_value(env, object->callback, &callback);
	napi_get_reference_value(env, object->batch, &arguments[0]);
	napi_create_uint32(env, object->count, &arguments[1]);
	if (napi_make_callback(env, NULL, global, callback, 2, arguments, &result) ==
	    napi_pending_exception) {
		napi_get_and_clear_last_exception(env, &exception);
		napi_fatal_exception(env, exception);
	}
	napi_close_handle_scope(env, scope);
}

napi_value object_watch(napi_env env, napi_callback_info info)
{
	struct call call;
	struct object *object;
	struct bpf_map *map;
	napi_value buffer;
	uv_loop_t *loop;
	uint32_t size = 0;

	if (!begin(env, info, &call) || !(map = map_argument(env, &call)))
		return NULL;
	object = call.object;
	napi_get_value_uint32(env, call.arguments[1], &size);
	if (object->ring || !size)
		return fail(env, "watch", object->ring ? EBUSY : EINVAL);
	object->ring = ring_buffer__new(bpf_map__fd(map), on_record, object, NULL);
	if (!object->ring)
		return fail(env, bpf_map__name(map), errno);
	object->record_size = size;
	napi_create_buffer(env, (size_t)BATCH * size, (void **)&object->records, &buffer);
	napi_create_reference(env, buffer, 1, &object->batch);
	napi_create_reference(env, call.arguments[2], 1, &object->callback);
	napi_reference_ref(env, object->self, NULL);
	napi_get_uv_event_loop(env, &loop);
	object->poll = malloc(sizeof(*object->poll));
	object->poll->data = object;
	uv_poll_init(loop, object->poll, ring_buffer__epoll_fd(object->ring));
	uv_poll_start(object->poll, UV_READABLE, on_readable);
	return NULL;
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

void unwatch(struct object *object)
{
	if (!object->ring)
		return;
	uv_poll_stop(object->poll);
	uv_close((uv_handle_t *)object->poll, free_handle);
	ring_buffer__free(object->ring);
	object->ring = NULL;
	napi_delete_reference(object->env, object->callback);
	napi_delete_reference(object->env, object->batch);
	napi_reference_unref(object->env, object->self, NULL);
}
