// SPDX-License-Identifier: GPL-2.0-only
/* The connection to a server, and addresses. */
#include <linux/inet.h>
#include <linux/tcp.h>
#include <net/addrconf.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <net/tcp.h>

#include "convert.h"

bool smapp_address_is_v4(const struct sockaddr_in6 *address)
{
	return ipv6_addr_v4mapped(&address->sin6_addr);
}

static int address_normal(struct sockaddr_in6 *to, const struct sockaddr_storage *from)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;

	if (from->ss_family == AF_INET6) {
		*to = *(const struct sockaddr_in6 *)from;
		return 0;
	}
	if (from->ss_family != AF_INET)
		return -EAFNOSUPPORT;
	memset(to, 0, sizeof(*to));
	to->sin6_family = AF_INET6;
	to->sin6_port = v4->sin_port;
	ipv6_addr_set_v4mapped(v4->sin_addr.s_addr, &to->sin6_addr);
	return 0;
}

int smapp_local_address(struct socket *sock, struct sockaddr_in6 *address)
{
	struct sockaddr_storage name;
	int length = kernel_getsockname(sock, (struct sockaddr *)&name);

	return length < 0 ? length : address_normal(address, &name);
}

int smapp_peer_address(struct socket *sock, struct sockaddr_in6 *address)
{
	struct sockaddr_storage name;
	int length = kernel_getpeername(sock, (struct sockaddr *)&name);

	return length < 0 ? length : address_normal(address, &name);
}

static int address_to_sockaddr(const struct sockaddr_in6 *from, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;

	if (!smapp_address_is_v4(from)) {
		*(struct sockaddr_in6 *)to = *from;
		return sizeof(*from);
	}
	memset(v4, 0, sizeof(*v4));
	v4->sin_family = AF_INET;
	v4->sin_port = from->sin6_port;
	v4->sin_addr.s_addr = from->sin6_addr.s6_addr32[3];
	return sizeof(*v4);
}

static int set_option(struct socket *sock, int level, int name, int value)
{
	return READ_ONCE(sock->ops)->setsockopt(sock, level, name, KERNEL_SOCKPTR(&value), sizeof(value));
}

/* The client's address as our own; its port too, when it is free here. */
static int spoof(struct socket *sock, const struct sockaddr_in6 *peer)
{
	struct sockaddr_storage name;
	int length = address_to_sockaddr(peer, &name);
	bool v4 = name.ss_family == AF_INET;
	int error = v4 ? set_option(sock, SOL_IP, IP_TRANSPARENT, 1) :
			 set_option(sock, SOL_IPV6, IPV6_TRANSPARENT, 1);

	if (error)
		return error;
	error = kernel_bind(sock, (void *)&name, length);
	if (error != -EADDRINUSE)
		return error;
	if (v4)
		((struct sockaddr_in *)&name)->sin_port = 0;
	else
		((struct sockaddr_in6 *)&name)->sin6_port = 0;
	return kernel_bind(sock, (void *)&name, length);
}

/* A client that connects to this host itself, where it is listened for others, would come back for ever. */
static bool comes_back(struct net *net, const struct smapp_listen *config, const struct sockaddr_in6 *local,
		       const struct sockaddr_in6 *to)
{
	if (to->sin6_port != local->sin6_port)
		return false;
	if (config->destination.port)
		return ipv6_addr_equal(&to->sin6_addr, &local->sin6_addr);
	if (smapp_address_is_v4(to))
		return inet_addr_type(net, to->sin6_addr.s6_addr32[3]) == RTN_LOCAL;
	return ipv6_chk_addr(net, &to->sin6_addr, NULL, 0);
}

int smapp_server_open(struct net *net, const struct smapp_listen *config, const struct sockaddr_in6 *local,
		      const struct sockaddr_in6 *peer, const struct sockaddr_in6 *destination,
		      struct socket **result)
{
	struct sockaddr_storage name;
	int length = address_to_sockaddr(destination, &name);
	int protocol = config->flags & SMAPP_SERVER_MPTCP ? IPPROTO_MPTCP : IPPROTO_TCP;
	struct socket *sock;
	int error;

	if (comes_back(net, config, local, destination))
		return -ELOOP;
	/* Not a kernel socket: those hold no network namespace, whose end stops their timers. */
	error = __sock_create(net, name.ss_family, SOCK_STREAM, protocol, &sock, 0);
	if (error)
		return error;
	if (config->mark)
		sock_set_mark(sock->sk, config->mark);
	if (config->socket_buffer) {
		int size = min_t(u32, config->socket_buffer, INT_MAX / 2);

		sock_setsockopt(sock, SOL_SOCKET, SO_SNDBUF, KERNEL_SOCKPTR(&size), sizeof(size));
		sock_setsockopt(sock, SOL_SOCKET, SO_RCVBUF, KERNEL_SOCKPTR(&size), sizeof(size));
	}
	if (protocol == IPPROTO_TCP)
		tcp_sock_set_nodelay(sock->sk);
	else
		set_option(sock, SOL_TCP, TCP_NODELAY, 1);
	if (config->flags & SMAPP_SPOOF)
		error = spoof(sock, peer);
	if (!error)
		error = kernel_connect(sock, (void *)&name, length, O_NONBLOCK);
	if (error == -EINPROGRESS)
		error = 0;
	if (error) {
		sock_release(sock);
		return error;
	}
	*result = sock;
	return 0;
}

int smapp_server_state(struct socket *sock)
{
	struct sock *sk = sock->sk;
	int state = inet_sk_state_load(sk);

	if (state == TCP_SYN_SENT || state == TCP_SYN_RECV)
		return -EINPROGRESS;
	if (state != TCP_CLOSE)
		return 0;
	return READ_ONCE(sk->sk_err) ? -READ_ONCE(sk->sk_err) : -ECONNRESET;
}

void smapp_reset(struct socket *sock)
{
	struct sock *sk = sock->sk;

	/* RST, and MPTCP's fast close: closing alone would end a connection in order. */
	lock_sock(sk);
	sk->sk_prot->disconnect(sk, O_NONBLOCK);
	release_sock(sk);
}
