/* SPDX-License-Identifier: GPL-2.0-only */
/* A socket of datagrams, netlink (netlink.c) or raw (raw.c), and the watcher that it may have. */
#ifndef SMAPP_DATAGRAMS_H
#define SMAPP_DATAGRAMS_H

#include "addon.h"

struct watcher;

struct datagrams {
	int fd;
	struct watcher *watcher;
};

/* The socket behind `this`; NULL, with an exception pending, when it is none or closed. */
struct datagrams *datagrams_of(napi_env env, napi_value self);

/* Wraps an object around `fd`, which is closed with it. */
napi_value datagrams_wrap(napi_env env, napi_value self, int fd);
/* Methods of both classes. send(message, length) */
napi_value datagrams_send(napi_env env, napi_callback_info info);
napi_value datagrams_close(napi_env env, napi_callback_info info);
napi_value watch(napi_env env, napi_callback_info info);
napi_value unwatch(napi_env env, napi_callback_info info);
void watcher_stop(struct datagrams *socket);

#endif
