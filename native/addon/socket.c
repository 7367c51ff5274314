// SPDX-License-Identifier: GPL-2.0-only
/* MPTCP and TCP sockets as file descriptors: Node cannot make the first kind, but net.Socket adopts it. */
#include "addon.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static napi_value stream_socket(napi_env env, napi_callback_info info)
{
	napi_valuetype type;
	napi_value argv[2];
	bool tcp = false;
	int32_t family;
	int fd;

	if (!get_arguments(env, info, 2, argv, NULL) || !get_int(env, argv[0], &family))
		return NULL;
	napi_typeof(env, argv[1], &type);
	if (type == napi_boolean)
		napi_get_value_bool(env, argv[1], &tcp);
	fd = socket(family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    tcp ? IPPROTO_TCP : IPPROTO_MPTCP);
	return fd < 0 ? throw_errno(env, errno, "socket") : make_int(env, fd);
}

socklen_t parse_address(const char *ip, int port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (!uv_ip4_addr(ip, port, (struct sockaddr_in *)out))
		return sizeof(struct sockaddr_in);
	if (!uv_ip6_addr(ip, port, (struct sockaddr_in6 *)out))
		return sizeof(struct sockaddr_in6);
	return 0;
}

/* Returns the name of the call that failed, with errno set, or NULL. */
static const char *do_bind(int fd, const char *ip, int port, const char *ifname)
{
	struct sockaddr_storage address;
	const int on = 1;
	socklen_t length;

	length = parse_address(ip, port, &address);
	if (!length || port < 0 || port > 65535) {
		errno = EINVAL;
		return "bind";
	}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		return "setsockopt";
	if (ifname && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, strlen(ifname)))
		return "setsockopt";
	return bind(fd, (struct sockaddr *)&address, length) ? "bind" : NULL;
}

static napi_value bind_socket(napi_env env, napi_callback_info info)
{
	char *ip = NULL, *ifname = NULL;
	const char *failed = NULL;
	napi_value argv[4];
	int32_t fd, port;
	int error = 0;

	if (!get_arguments(env, info, 4, argv, NULL) || !get_int(env, argv[0], &fd) ||
	    !get_text(env, argv[1], &ip) || !get_int(env, argv[2], &port) || !get_text(env, argv[3], &ifname))
		goto out;
	failed = do_bind(fd, ip ? ip : "", port, ifname);
	error = errno;
out:
	free(ip);
	free(ifname);
	return failed ? throw_errno(env, error, failed) : NULL;
}

static napi_value set_socket_option(napi_env env, napi_callback_info info)
{
	int32_t fd, level, name, value;
	napi_value argv[4];

	if (!get_arguments(env, info, 4, argv, NULL) || !get_int(env, argv[0], &fd) ||
	    !get_int(env, argv[1], &level) || !get_int(env, argv[2], &name) || !get_int(env, argv[3], &value))
		return NULL;
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		return throw_errno(env, errno, "setsockopt");
	return NULL;
}

static napi_value close_fd(napi_env env, napi_callback_info info)
{
	napi_value argv[1];
	int32_t fd;

	if (!get_arguments(env, info, 1, argv, NULL) || !get_int(env, argv[0], &fd))
		return NULL;
	return close(fd) ? throw_errno(env, errno, "close") : NULL;
}

void socket_init(napi_env env, napi_value exports)
{
	static const napi_property_descriptor functions[] = {
		METHOD("streamSocket", stream_socket),
		METHOD("bindSocket", bind_socket),
		METHOD("setSocketOption", set_socket_option),
		METHOD("closeFd", close_fd),
	};

	napi_define_properties(env, exports, ARRAY_SIZE(functions), functions);
}
