// SPDX-License-Identifier: GPL-2.0-only
/* What sd_notify(3) and systemd's file descriptor store need, without libsystemd. */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The most that the kernel takes in one message is SCM_MAX_FD, 253; the agent has a handful. */
#define MAX_FDS 64

static bool get_fds(napi_env env, napi_value array, int *fds, uint32_t *count)
{
	napi_value element;
	uint32_t i;

	if (napi_get_array_length(env, array, count) != napi_ok || *count > MAX_FDS) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected an array of at most 64 file descriptors");
		return false;
	}
	for (i = 0; i < *count; i++) {
		napi_get_element(env, array, i, &element);
		if (!get_int(env, element, &fds[i]))
			return false;
	}
	return true;
}

/* Returns the length of the address; 0 when the path does not fit. "@name" is an abstract one. */
static socklen_t parse_path(const char *path, struct sockaddr_un *out)
{
	const size_t length = strlen(path);

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!length || length >= sizeof(out->sun_path))
		return 0;
	memcpy(out->sun_path, path, length);
	if (path[0] == '@')
		out->sun_path[0] = '\0';
	return offsetof(struct sockaddr_un, sun_path) + length;
}

/* Returns 0 or an errno. */
static int do_notify(const char *path, char *text, const int *fds, uint32_t count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	} control = { 0 };
	struct iovec content = { .iov_base = text, .iov_len = strlen(text) };
	struct sockaddr_un address;
	struct msghdr message = { .msg_name = &address, .msg_iov = &content, .msg_iovlen = 1 };
	int fd, error = 0;

	message.msg_namelen = parse_path(path, &address);
	if (!message.msg_namelen)
		return ENAMETOOLONG;
	if (count) {
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * count);
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		error = errno;
	close(fd);
	return error;
}

static napi_value notify(napi_env env, napi_callback_info info)
{
	char *path = NULL, *text = NULL;
	int fds[MAX_FDS], error = 0;
	napi_value argv[3];
	uint32_t count;

	if (get_arguments(env, info, 3, argv, NULL) && get_text(env, argv[0], &path) &&
	    get_text(env, argv[1], &text) && get_fds(env, argv[2], fds, &count))
		error = do_notify(path ? path : "", text ? text : "", fds, count);
	free(path);
	free(text);
	return error ? throw_errno(env, error, "sendmsg") : NULL;
}

static napi_value set_close_on_exec(napi_env env, napi_callback_info info)
{
	napi_value argv[2];
	int32_t fd;
	int flags;
	bool on;

	if (!get_arguments(env, info, 2, argv, NULL) || !get_int(env, argv[0], &fd))
		return NULL;
	if (napi_get_value_bool(env, argv[1], &on) != napi_ok) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a boolean");
		return NULL;
	}
	flags = fcntl(fd, F_GETFD);
	if (flags < 0 || fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC))
		return throw_errno(env, errno, "fcntl");
	return NULL;
}

void notify_init(napi_env env, napi_value exports)
{
	static const napi_property_descriptor functions[] = {
		METHOD("notify", notify),
		METHOD("setCloseOnExec", set_close_on_exec),
	};

	napi_define_properties(env, exports, ARRAY_SIZE(functions), functions);
}
