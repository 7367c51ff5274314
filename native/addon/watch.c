// SPDX-License-Identifier: GPL-2.0-only
/*
 * A datagram socket in the event loop: recvmmsg into the caller's buffer, one callback a batch.
 *
 * libuv turns EPOLLERR, which a netlink socket raises after it lost messages (ENOBUFS), into UV_EBADF and
 * stops the handle. So whatever the status, the socket is drained, and after such a status the handle is
 * started again. Only an errno other than ENOBUFS ends the watching.
 */
#include "datagrams.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Datagrams a recvmmsg at most, and batches before other handles of the loop get their turn. */
#define MAX_BATCH 256
#define MAX_ROUNDS 16

struct watcher {
	uv_poll_t poll;
	napi_env env;
	napi_async_context context;
	napi_async_cleanup_hook_handle cleanup;
	/* `this`, the buffer, the lengths and both callbacks: alive as long as the watcher. */
	napi_ref self, buffer, lengths_array, on_datagrams, on_error;
	struct datagrams *socket;
	int32_t *lengths;
	unsigned int batch;
	struct mmsghdr messages[MAX_BATCH];
	struct iovec slots[MAX_BATCH];
};

static void on_closed(uv_handle_t *handle)
{
	struct watcher *watcher = handle->data;

	/* Last: this may let the environment go on with its own end. */
	napi_remove_async_cleanup_hook(watcher->cleanup);
	free(watcher);
}

void watcher_stop(struct datagrams *socket)
{
	struct watcher *watcher = socket->watcher;

	if (!watcher)
		return;
	socket->watcher = NULL;
	watcher->socket = NULL;
	napi_delete_reference(watcher->env, watcher->self);
	napi_delete_reference(watcher->env, watcher->buffer);
	napi_delete_reference(watcher->env, watcher->lengths_array);
	napi_delete_reference(watcher->env, watcher->on_datagrams);
	napi_delete_reference(watcher->env, watcher->on_error);
	napi_async_destroy(watcher->env, watcher->context);
	uv_close((uv_handle_t *)&watcher->poll, on_closed);
}

static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data)
{
	struct watcher *watcher = data;

	(void)handle;
	if (watcher->socket)
		watcher_stop(watcher->socket);
}

static void call(struct watcher *watcher, napi_ref callback, int32_t argument)
{
	napi_value self, function, value, error;
	napi_env env = watcher->env;
	napi_handle_scope scope;

	napi_open_handle_scope(env, &scope);
	napi_get_reference_value(env, watcher->self, &self);
	napi_get_reference_value(env, callback, &function);
	napi_create_int32(env, argument, &value);
	if (napi_make_callback(env, watcher->context, self, function, 1, &value, NULL) == napi_pending_exception) {
		napi_get_and_clear_last_exception(env, &error);
		napi_fatal_exception(env, error);
	}
	napi_close_handle_scope(env, scope);
}

/* Reads what is there. A callback may stop the watcher, which then lives on until its close callback. */
static void drain(struct watcher *watcher)
{
	int round, i, count;

	for (round = 0; round < MAX_ROUNDS && watcher->socket; round++) {
		count = recvmmsg(watcher->socket->fd, watcher->messages, watcher->batch, MSG_DONTWAIT, NULL);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN)
			return;
		if (count < 0) {
			const int error = errno;

			if (error != ENOBUFS)
				uv_poll_stop(&watcher->poll);
			call(watcher, watcher->on_error, error);
			if (error != ENOBUFS)
				return;
			continue;
		}
		for (i = 0; i < count; i++)
			watcher->lengths[i] = watcher->messages[i].msg_hdr.msg_flags & MSG_TRUNC ?
						      -1 : (int32_t)watcher->messages[i].msg_len;
		call(watcher, watcher->on_datagrams, count);
		if ((unsigned int)count < watcher->batch)
			return;
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watcher *watcher = poll->data;

	(void)events;
	if (status < 0)
		uv_poll_start(poll, UV_READABLE, on_poll);
	drain(watcher);
}

napi_value watch(napi_env env, napi_callback_info info)
{
	struct bytes buffer, lengths;
	struct watcher *watcher;
	struct datagrams *socket;
	napi_value argv[4], self, name;
	uv_loop_t *loop;
	size_t i, slot;
	int error;

	get_arguments(env, info, 4, argv, &self);
	socket = datagrams_of(env, self);
	if (!socket || !get_bytes(env, argv[0], &buffer) || !get_bytes(env, argv[1], &lengths))
		return NULL;
	if (socket->watcher)
		return throw_errno(env, EALREADY, "watch");
	watcher = calloc(1, sizeof(*watcher));
	if (!watcher)
		return throw_errno(env, ENOMEM, "calloc");
	watcher->batch = lengths.length / sizeof(int32_t);
	if (watcher->batch < 1 || watcher->batch > MAX_BATCH || buffer.length < watcher->batch) {
		free(watcher);
		return throw_errno(env, EINVAL, "watch");
	}
	napi_get_uv_event_loop(env, &loop);
	error = uv_poll_init(loop, &watcher->poll, socket->fd);
	if (error) {
		free(watcher);
		return throw_errno(env, -error, "epoll_ctl");
	}
	watcher->env = env;
	watcher->socket = socket;
	watcher->lengths = (int32_t *)lengths.data;
	watcher->poll.data = watcher;
	slot = buffer.length / watcher->batch;
	for (i = 0; i < watcher->batch; i++) {
		watcher->slots[i] = (struct iovec){ .iov_base = buffer.data + i * slot, .iov_len = slot };
		watcher->messages[i].msg_hdr.msg_iov = &watcher->slots[i];
		watcher->messages[i].msg_hdr.msg_iovlen = 1;
	}
	napi_create_reference(env, self, 1, &watcher->self);
	napi_create_reference(env, argv[0], 1, &watcher->buffer);
	napi_create_reference(env, argv[1], 1, &watcher->lengths_array);
	napi_create_reference(env, argv[2], 1, &watcher->on_datagrams);
	napi_create_reference(env, argv[3], 1, &watcher->on_error);
	napi_create_string_utf8(env, "DatagramSocket", NAPI_AUTO_LENGTH, &name);
	napi_async_init(env, self, name, &watcher->context);
	napi_add_async_cleanup_hook(env, on_environment_end, watcher, &watcher->cleanup);
	socket->watcher = watcher;
	uv_poll_start(&watcher->poll, UV_READABLE, on_poll);
	return NULL;
}

napi_value unwatch(napi_env env, napi_callback_info info)
{
	struct datagrams *socket;
	napi_value self;

	get_arguments(env, info, 0, NULL, &self);
	socket = datagrams_of(env, self);
	if (socket)
		watcher_stop(socket);
	return NULL;
}
