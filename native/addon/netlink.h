/* SPDX-License-Identifier: GPL-2.0-only */
/* A netlink socket, and the watcher that it may have. */
#ifndef SMAPP_NETLINK_H
#define SMAPP_NETLINK_H

#include "addon.h"

struct watcher;

struct netlink {
	int fd;
	struct watcher *watcher;
};

/* The socket behind `this`; NULL, with an exception pending, when it is none or closed. */
struct netlink *netlink_of(napi_env env, napi_value self);

napi_value watch(napi_env env, napi_callback_info info);
napi_value unwatch(napi_env env, napi_callback_info info);
void watcher_stop(struct netlink *socket);

#endif
