// SPDX-License-Identifier: GPL-2.0-only
/* Accepts clients on a listening socket of the agent's, and opens the connection to the server of each. */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <net/inet_sock.h>
#include <net/tcp.h>

#include "compat.h"
#include "convert.h"

#define TURN 64 /* clients accepted before others get their turn */

static int listener_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	smapp_job_queue(&container_of(wait, struct listener, wait)->job);
	return 0;
}

/*
 * As do_accept() does it. kernel_accept() would put the listener's MPTCP operations on a socket that fell
 * back to TCP. Asking first saves making a socket for nothing.
 */
static struct socket *accept_client(struct socket *listener)
{
	const struct proto_ops *ops = READ_ONCE(listener->ops);
	struct socket *sock;

	if (!(ops->poll(NULL, listener, NULL) & EPOLLIN))
		return NULL;
	if (sock_create_lite(listener->sk->sk_family, listener->type, listener->sk->sk_protocol, &sock))
		return NULL;
	sock->ops = ops;
	__module_get(ops->owner);
	if (compat_accept(listener, sock)) {
		sock_release(sock);
		return NULL;
	}
	return sock;
}

static int destination_of(const struct smapp_listen *config, struct socket *client, struct sockaddr_in6 *address)
{
	if (!config->destination.port)
		return smapp_local_address(client, address);
	address->sin6_family = AF_INET6;
	address->sin6_port = config->destination.port;
	memcpy(&address->sin6_addr, config->destination.ip, sizeof(address->sin6_addr));
	return 0;
}

static int open_server(struct listener *listener, struct pair *pair, struct socket **server)
{
	struct socket *client = pair->client.sock;
	struct sockaddr_in6 local;
	int error = smapp_peer_address(client, &pair->peer);

	if (!error)
		error = smapp_local_address(client, &local);
	if (!error)
		error = destination_of(&listener->config, client, &pair->destination);
	if (error)
		return error;
	if (listener->door) {
		error = smapp_syn_claim(listener->door, &pair->peer, &local, server, &pair->begun);
		pair->syn_timed = error != -ENOENT;
		if (pair->syn_timed)
			return error;
	}
	return smapp_server_open(sock_net(client->sk), &listener->config, &local, &pair->peer,
				 &pair->destination, server);
}

static void client_take(struct listener *listener, struct socket *client)
{
	struct control *control = listener->control;
	struct socket *server;
	struct pair *pair;
	int error;

	count_inc(control, accepted);
	if (client->sk->sk_protocol == IPPROTO_MPTCP)
		count_inc(control, accepted_mptcp);
	if (count_get(control, active) >= READ_ONCE(control->max_pairs)) {
		count_inc(control, too_many);
		pair = NULL;
	} else {
		pair = smapp_pair_new(control, &listener->patience);
	}
	if (!pair) {
		smapp_reset(client);
		sock_release(client);
		return;
	}
	smapp_end_watch(&pair->client, client);
	error = open_server(listener, pair, &server);
	if (error) {
		smapp_count_failure(control, error);
		set_bit(PAIR_KILL, &pair->bits);
	} else {
		smapp_end_watch(&pair->server, server);
	}
	smapp_pair_start(pair);
}

static void listener_run(struct job *job)
{
	struct listener *listener = container_of(job, struct listener, job);
	struct socket *client;
	int n;

	for (n = 0; n < TURN && !READ_ONCE(listener->closing); n++) {
		client = accept_client(listener->sock);
		if (!client)
			return;
		client_take(listener, client);
	}
	if (n == TURN)
		smapp_job_queue(job);
}

static int check(const struct socket *sock, const struct smapp_listen *config)
{
	const struct sock *sk = sock->sk;
	u32 known = SMAPP_SPOOF | SMAPP_SYN_OPEN | SMAPP_SYN_HOLD | SMAPP_SERVER_MPTCP;

	if (sock->type != SOCK_STREAM || (sk->sk_family != AF_INET && sk->sk_family != AF_INET6) ||
	    (sk->sk_protocol != IPPROTO_TCP && sk->sk_protocol != IPPROTO_MPTCP) ||
	    inet_sk_state_load(sk) != TCP_LISTEN)
		return -EINVAL;
	if (config->flags & ~known || !config->connect_ms || !config->idle_ms || !config->half_ms)
		return -EINVAL;
	if (config->flags & SMAPP_SYN_HOLD && !(config->flags & SMAPP_SYN_OPEN))
		return -EINVAL;
	return 0;
}

/* Called with control->setup held. */
int smapp_listen(struct control *control, const struct smapp_listen *config)
{
	struct listener *listener = kzalloc(sizeof(*listener), GFP_KERNEL);
	int one = 1, error;

	if (!listener)
		return -ENOMEM;
	listener->control = control;
	listener->config = *config;
	listener->patience = smapp_patience(config->connect_ms, config->idle_ms, config->half_ms);
	smapp_job_init(&listener->job, listener_run);
	listener->sock = sockfd_lookup(config->fd, &error);
	if (!listener->sock)
		goto free;
	error = check(listener->sock, config);
	if (error)
		goto put;
	if (config->flags & SMAPP_SYN_OPEN) {
		listener->door = smapp_door_get(control, listener);
		if (IS_ERR(listener->door)) {
			error = PTR_ERR(listener->door);
			goto put;
		}
	}
	/* Accepted sockets inherit it. */
	READ_ONCE(listener->sock->ops)->setsockopt(listener->sock, SOL_TCP, TCP_NODELAY, KERNEL_SOCKPTR(&one),
						   sizeof(one));
	list_add(&listener->node, &control->listeners);
	init_waitqueue_func_entry(&listener->wait, listener_wake);
	add_wait_queue(sk_sleep(listener->sock->sk), &listener->wait);
	smapp_job_queue(&listener->job);
	return 0;

put:
	sockfd_put(listener->sock);
free:
	kfree(listener);
	return error;
}

void smapp_listener_free(struct listener *listener)
{
	remove_wait_queue(sk_sleep(listener->sock->sk), &listener->wait);
	WRITE_ONCE(listener->closing, true);
	smapp_job_flush(&listener->job);
	smapp_job_flush(&listener->job);	/* it may have queued itself once more */
	if (listener->door)
		smapp_door_put(listener->door);
	sockfd_put(listener->sock);
	list_del(&listener->node);
	kfree(listener);
}
