// SPDX-License-Identifier: GPL-2.0-only
/* Who is at the other end of a unix socket, as the kernel saw it at connect time (unix(7), SO_PEERCRED). */
#include "addon.h"

#include <errno.h>
#include <sys/socket.h>

static napi_value peer_credentials(napi_env env, napi_callback_info info)
{
	socklen_t length = sizeof(struct ucred);
	struct ucred peer;
	napi_value argv[1], out;
	int32_t fd;

	if (!get_arguments(env, info, 1, argv, NULL) || !get_int(env, argv[0], &fd))
		return NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return throw_errno(env, errno, "getsockopt");
	napi_create_object(env, &out);
	napi_set_named_property(env, out, "pid", make_int(env, peer.pid));
	napi_set_named_property(env, out, "uid", make_int(env, peer.uid));
	napi_set_named_property(env, out, "gid", make_int(env, peer.gid));
	return out;
}

void peer_init(napi_env env, napi_value exports)
{
	static const napi_property_descriptor functions[] = { METHOD("peerCredentials", peer_credentials) };

	napi_define_properties(env, exports, ARRAY_SIZE(functions), functions);
}
