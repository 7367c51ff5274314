// SPDX-License-Identifier: GPL-2.0-only
/*
 * class NetlinkSocket: requests that are answered before send() returns, dumps a datagram at a time.
 * The caller owns every buffer, so that nothing is allocated per message. watch.c has the event loop's side.
 */
#include "datagrams.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct datagrams *datagrams_of(napi_env env, napi_value self)
{
	struct datagrams *socket = NULL;

	if (napi_unwrap(env, self, (void **)&socket) != napi_ok) {
		napi_throw_type_error(env, "ERR_INVALID_THIS", "not a socket of datagrams");
		return NULL;
	}
	if (socket->fd < 0) {
		throw_errno(env, EBADF, "socket");
		return NULL;
	}
	return socket;
}

static void finalize(napi_env env, void *data, void *hint)
{
	struct datagrams *socket = data;

	(void)env;
	(void)hint;
	watcher_stop(socket);
	if (socket->fd >= 0)
		close(socket->fd);
	free(socket);
}

napi_value datagrams_wrap(napi_env env, napi_value self, int fd)
{
	struct datagrams *socket = calloc(1, sizeof(*socket));

	if (!socket) {
		close(fd);
		return throw_errno(env, ENOMEM, "calloc");
	}
	socket->fd = fd;
	napi_wrap(env, self, socket, finalize, NULL, NULL);
	return self;
}

/* Returns the file descriptor, or a negative errno. */
static int open_netlink(int protocol, int receive_buffer)
{
	static const int options[] = { NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK };
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	const int on = 1;
	int fd, error;
	size_t i;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		error = errno;
		close(fd);
		return -error;
	}
	/* All three are older than MPTCP; a kernel that lacks one still works, with less to tell. */
	for (i = 0; i < ARRAY_SIZE(options); i++)
		setsockopt(fd, SOL_NETLINK, options[i], &on, sizeof(on));
	if (receive_buffer > 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof(receive_buffer)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	return fd;
}

static napi_value construct(napi_env env, napi_callback_info info)
{
	int32_t protocol, receive_buffer, fd = -1;
	struct sockaddr_nl address;
	socklen_t length = sizeof(address);
	napi_value argv[3], self;
	napi_valuetype type;

	if (!get_arguments(env, info, 3, argv, &self) || !get_int(env, argv[0], &protocol) ||
	    !get_int(env, argv[1], &receive_buffer))
		return NULL;
	napi_typeof(env, argv[2], &type);
	if (type == napi_undefined) {
		fd = open_netlink(protocol, receive_buffer);
		if (fd < 0)
			return throw_errno(env, -fd, "socket");
	} else {
		if (!get_int(env, argv[2], &fd))
			return NULL;
		if (getsockname(fd, (struct sockaddr *)&address, &length))
			return throw_errno(env, errno, "getsockname");
		if (address.nl_family != AF_NETLINK)
			return throw_errno(env, EPROTOTYPE, "getsockname");
	}
	return datagrams_wrap(env, self, fd);
}

static napi_value get_fd(napi_env env, napi_callback_info info)
{
	struct datagrams *netlink;
	napi_value self;

	get_arguments(env, info, 0, NULL, &self);
	netlink = datagrams_of(env, self);
	return netlink ? make_int(env, netlink->fd) : NULL;
}

static napi_value get_port_id(napi_env env, napi_callback_info info)
{
	struct sockaddr_nl address;
	socklen_t length = sizeof(address);
	struct datagrams *netlink;
	napi_value self;

	get_arguments(env, info, 0, NULL, &self);
	netlink = datagrams_of(env, self);
	if (!netlink)
		return NULL;
	if (getsockname(netlink->fd, (struct sockaddr *)&address, &length))
		return throw_errno(env, errno, "getsockname");
	return make_int(env, address.nl_pid);
}

static napi_value get_receive_buffer(napi_env env, napi_callback_info info)
{
	struct datagrams *netlink;
	napi_value self;
	socklen_t length = sizeof(int);
	int size;

	get_arguments(env, info, 0, NULL, &self);
	netlink = datagrams_of(env, self);
	if (!netlink)
		return NULL;
	if (getsockopt(netlink->fd, SOL_SOCKET, SO_RCVBUF, &size, &length))
		return throw_errno(env, errno, "getsockopt");
	return make_int(env, size);
}

static napi_value join(napi_env env, napi_callback_info info)
{
	struct datagrams *netlink;
	napi_value argv[1], self;
	int32_t group;

	get_arguments(env, info, 1, argv, &self);
	netlink = datagrams_of(env, self);
	if (!netlink || !get_int(env, argv[0], &group))
		return NULL;
	if (setsockopt(netlink->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		return throw_errno(env, errno, "setsockopt");
	return NULL;
}

static bool send_message(napi_env env, struct datagrams *netlink, napi_value message, napi_value length)
{
	struct bytes bytes;
	ssize_t sent;
	int32_t size;

	if (!get_bytes(env, message, &bytes) || !get_int(env, length, &size))
		return false;
	if (size < 0 || (size_t)size > bytes.length) {
		napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "length is beyond the message");
		return false;
	}
	do {
		sent = send(netlink->fd, bytes.data, size, 0);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		throw_errno(env, errno, "send");
	return sent >= 0;
}

static napi_value receive_datagram(napi_env env, struct datagrams *netlink, napi_value reply)
{
	struct bytes bytes;
	ssize_t length;

	if (!get_bytes(env, reply, &bytes))
		return NULL;
	do {
		length = recv(netlink->fd, bytes.data, bytes.length, MSG_DONTWAIT | MSG_TRUNC);
	} while (length < 0 && errno == EINTR);
	if (length < 0 && errno == EAGAIN)
		return make_int(env, 0);
	if (length < 0)
		return throw_errno(env, errno, "recv");
	if ((size_t)length > bytes.length)
		return throw_errno(env, EMSGSIZE, "recv");
	return make_int(env, length);
}

static napi_value netlink_request(napi_env env, napi_callback_info info)
{
	struct datagrams *netlink;
	napi_value argv[3], self;

	get_arguments(env, info, 3, argv, &self);
	netlink = datagrams_of(env, self);
	if (!netlink || !send_message(env, netlink, argv[0], argv[1]))
		return NULL;
	return receive_datagram(env, netlink, argv[2]);
}

napi_value datagrams_send(napi_env env, napi_callback_info info)
{
	struct datagrams *socket;
	napi_value argv[2], self;

	get_arguments(env, info, 2, argv, &self);
	socket = datagrams_of(env, self);
	if (socket)
		send_message(env, socket, argv[0], argv[1]);
	return NULL;
}

static napi_value netlink_receive(napi_env env, napi_callback_info info)
{
	struct datagrams *netlink;
	napi_value argv[1], self;

	get_arguments(env, info, 1, argv, &self);
	netlink = datagrams_of(env, self);
	return netlink ? receive_datagram(env, netlink, argv[0]) : NULL;
}

napi_value datagrams_close(napi_env env, napi_callback_info info)
{
	struct datagrams *netlink;
	napi_value self;

	get_arguments(env, info, 0, NULL, &self);
	if (napi_unwrap(env, self, (void **)&netlink) != napi_ok || netlink->fd < 0)
		return NULL;
	watcher_stop(netlink);
	close(netlink->fd);
	netlink->fd = -1;
	return NULL;
}

void netlink_init(napi_env env, napi_value exports)
{
	static const napi_property_descriptor members[] = {
		GETTER("fd", get_fd),
		GETTER("portId", get_port_id),
		GETTER("receiveBuffer", get_receive_buffer),
		METHOD("join", join),
		METHOD("request", netlink_request),
		METHOD("receive", netlink_receive),
		METHOD("watch", watch),
		METHOD("unwatch", unwatch),
		METHOD("close", datagrams_close),
	};
	napi_value constructor;

	napi_define_class(env, "NetlinkSocket", NAPI_AUTO_LENGTH, construct, NULL, ARRAY_SIZE(members), members,
			  &constructor);
	napi_set_named_property(env, exports, "NetlinkSocket", constructor);
}
