// SPDX-License-Identifier: GPL-2.0-only
/* class RawTcpSocket: TCP segments of our own between two addresses, beside the kernel's TCP. */
#include "datagrams.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLAGS 13 /* their byte in a TCP header */
#define SYN_OR_RST 0x06

/* A raw socket gets every segment that the host does; of a transfer that would be thousands a second. */
static int filter(int fd, int family)
{
	/* What it sees begins with the IP header, in IPv6 with that of TCP. */
	struct sock_filter ip4[] = {
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, FLAGS),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYN_OR_RST, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_filter ip6[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYN_OR_RST, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {
		.len = family == AF_INET ? ARRAY_SIZE(ip4) : ARRAY_SIZE(ip6),
		.filter = family == AF_INET ? ip4 : ip6,
	};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* Returns the file descriptor, or -1 with errno set and the call that failed in `failed`. */
static int open_raw(const char *local, const char *remote, const char *ifname, const char **failed)
{
	struct sockaddr_storage from, to;
	const socklen_t from_length = parse_address(local, 0, &from), to_length = parse_address(remote, 0, &to);
	int fd, error;

	*failed = "socket";
	if (!from_length || from.ss_family != to.ss_family || !to_length) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(from.ss_family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -1;
	if (filter(fd, from.ss_family) ||
	    (ifname && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, strlen(ifname))))
		*failed = "setsockopt";
	else if (bind(fd, (struct sockaddr *)&from, from_length))
		*failed = "bind";
	else if (connect(fd, (struct sockaddr *)&to, to_length))
		*failed = "connect";
	else
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static napi_value construct(napi_env env, napi_callback_info info)
{
	char *local = NULL, *remote = NULL, *ifname = NULL;
	napi_value argv[3], self, made = NULL;
	const char *failed;
	int fd;

	if (!get_arguments(env, info, 3, argv, &self) || !get_text(env, argv[0], &local) ||
	    !get_text(env, argv[1], &remote) || !get_text(env, argv[2], &ifname))
		goto out;
	fd = open_raw(local ? local : "", remote ? remote : "", ifname, &failed);
	made = fd < 0 ? throw_errno(env, errno, failed) : datagrams_wrap(env, self, fd);
out:
	free(local);
	free(remote);
	free(ifname);
	return made;
}

void raw_init(napi_env env, napi_value exports)
{
	static const napi_property_descriptor members[] = {
		METHOD("send", datagrams_send),
		METHOD("watch", watch),
		METHOD("unwatch", unwatch),
		METHOD("close", datagrams_close),
	};
	napi_value constructor;

	napi_define_class(env, "RawTcpSocket", NAPI_AUTO_LENGTH, construct, NULL, ARRAY_SIZE(members), members,
			  &constructor);
	napi_set_named_property(env, exports, "RawTcpSocket", constructor);
}
