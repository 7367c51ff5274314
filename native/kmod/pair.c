// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a pair. Sockets wake it through entries in their wait queues, which works alike for TCP and
 * MPTCP and leaves the sockets' own callbacks alone. It frees itself, in its own job.
 */
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <net/tcp.h>

#include "compat.h"
#include "convert.h"

#define ROOM	(EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

/* From softirq or process context, maybe with socket locks held. */
static int end_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct end *end = container_of(wait, struct end, wait);
	__poll_t what = key_to_poll(key);

	/* MPTCP tells of room at every acknowledgement. */
	if (what && !(what & ~ROOM) && !test_bit(END_FULL, &end->bits))
		return 0;
	if (!what || what & ROOM)
		clear_bit(END_FULL, &end->bits);
	if (!what || what & ~ROOM)
		set_bit(END_READABLE, &end->bits);
	if (what & (EPOLLERR | EPOLLHUP))
		clear_bit(END_FULL, &end->bits);
	smapp_job_queue(&end->pair->job);
	return 0;
}

void smapp_end_watch(struct end *end, struct socket *sock)
{
	end->sock = sock;
	end->mptcp = sock->sk->sk_protocol == IPPROTO_MPTCP;
	end->watched = true;
	init_waitqueue_func_entry(&end->wait, end_wake);
	add_wait_queue(sk_sleep(sock->sk), &end->wait);
}

static void end_close(struct end *end, bool abort)
{
	if (!end->sock)
		return;
	if (end->watched)
		remove_wait_queue(sk_sleep(end->sock->sk), &end->wait);
	if (abort)
		smapp_reset(end->sock);
	if (end->file)
		sockfd_put(end->sock);
	else
		sock_release(end->sock);
}

static void pair_free(struct pair *pair, bool abort)
{
	struct control *control = pair->control;

	spin_lock(&control->lock);
	list_del(&pair->node);
	spin_unlock(&control->lock);
	compat_timer_delete_sync(&pair->expiry);
	end_close(&pair->client, abort);
	end_close(&pair->server, abort);
	smapp_flow_free(&pair->up);
	smapp_flow_free(&pair->down);
	/* Nobody is left who could queue it, but it may have been meanwhile. */
	set_bit(PAIR_DEAD, &pair->bits);
	if (smapp_job_retire(&pair->job))
		kfree(pair);
	if (atomic64_dec_and_test(&control->count[COUNT_active]))
		wake_up(&control->idle);
}

static unsigned long patience(const struct pair *pair)
{
	if (pair->state == STATE_CONNECT)
		return pair->patience.connect;
	return pair->up.ended || pair->down.ended ? pair->patience.half : pair->patience.idle;
}

/* Fires at least every `half`, so that it need not be set anew when a side ends. */
static void expiry_arm(struct pair *pair)
{
	unsigned long left = pair->active + patience(pair) - jiffies;

	mod_timer(&pair->expiry, jiffies + min(left, pair->patience.half) + 1);
}

static void expiry_timer(struct timer_list *timer)
{
	struct pair *pair = container_of(timer, struct pair, expiry);

	set_bit(PAIR_EXPIRY, &pair->bits);
	smapp_job_queue(&pair->job);
}

static bool expired(struct pair *pair)
{
	struct control *control = pair->control;

	if (time_before(jiffies, pair->active + patience(pair))) {
		expiry_arm(pair);
		return false;
	}
	if (pair->state == STATE_CONNECT)
		count_inc(control, connect_timeout);
	else if (pair->up.ended || pair->down.ended)
		count_inc(control, half_close_timeout);
	else
		count_inc(control, idle_timeout);
	return true;
}

void smapp_count_failure(struct control *control, int error)
{
	if (error == -ECONNREFUSED)
		count_inc(control, refused);
	else if (error == -ETIMEDOUT)
		count_inc(control, connect_timeout);
	else if (error == -ELOOP)
		count_inc(control, denied_destination);
	else
		count_inc(control, unreachable);
}

static void pair_established(struct pair *pair)
{
	pair->state = STATE_RELAY;
	pair->active = jiffies;
	set_bit(END_READABLE, &pair->client.bits);
	set_bit(END_READABLE, &pair->server.bits);
}

/* Returns false when the pair is at its end. */
static bool pair_connect(struct pair *pair)
{
	struct control *control = pair->control;
	int error = smapp_server_state(pair->server.sock);

	if (error == -EINPROGRESS) {
		if (inet_sk_state_load(pair->client.sock->sk) != TCP_CLOSE)
			return true;
		count_inc(control, client_aborted);
		return false;
	}
	if (error) {
		smapp_count_failure(control, error);
		return false;
	}
	pair->open_us = ktime_us_delta(ktime_get(), pair->begun);
	count_inc(control, opened);
	count_add(control, open_us, pair->open_us);
	pair_established(pair);
	return true;
}

static bool pair_relay(struct pair *pair, bool *more)
{
	struct control *control = pair->control;
	u64 up = pair->up.bytes, down = pair->down.bytes;
	struct end *failed = smapp_flow_move(&pair->up, more);

	if (!failed)
		failed = smapp_flow_move(&pair->down, more);
	if (pair->up.bytes != up || pair->down.bytes != down) {
		count_add(control, bytes_up, pair->up.bytes - up);
		count_add(control, bytes_down, pair->down.bytes - down);
		pair->active = jiffies;
	}
	if (failed == &pair->client)
		count_inc(control, client_aborted);
	else if (failed)
		count_inc(control, server_aborted);
	return !failed;
}

static void pair_run(struct job *job)
{
	struct pair *pair = container_of(job, struct pair, job);
	bool more = false, ended;

	if (test_bit(PAIR_DEAD, &pair->bits)) {
		kfree(pair);
		return;
	}
	if (!test_bit(PAIR_READY, &pair->bits))
		return;
	smp_mb__after_atomic();
	if (test_bit(PAIR_KILL, &pair->bits))
		return pair_free(pair, true);
	if (pair->state == STATE_CONNECT && !pair_connect(pair))
		return pair_free(pair, true);
	if (pair->state == STATE_RELAY) {
		ended = pair->up.ended || pair->down.ended;
		if (!pair_relay(pair, &more))
			return pair_free(pair, true);
		if (pair->up.closed && pair->down.closed) {
			count_inc(pair->control, finished);
			return pair_free(pair, false);
		}
		if (!ended && (pair->up.ended || pair->down.ended))
			pair->active = jiffies;
	}
	if (test_and_clear_bit(PAIR_EXPIRY, &pair->bits) && expired(pair))
		return pair_free(pair, true);
	if (more)
		smapp_job_queue(&pair->job);
}

struct patience smapp_patience(u32 connect_ms, u32 idle_ms, u32 half_ms)
{
	struct patience patience = {
		.connect = msecs_to_jiffies(connect_ms),
		.idle = msecs_to_jiffies(idle_ms),
		.half = msecs_to_jiffies(half_ms),
	};

	return patience;
}

struct pair *smapp_pair_new(struct control *control, const struct patience *patience)
{
	struct pair *pair = kzalloc(sizeof(*pair), GFP_KERNEL);

	if (!pair)
		return NULL;
	smapp_job_init(&pair->job, pair_run);
	timer_setup(&pair->expiry, expiry_timer, 0);
	pair->control = control;
	pair->patience = *patience;
	pair->client.pair = pair->server.pair = pair;
	pair->since = pair->active = jiffies;
	pair->begun = ktime_get();
	smapp_flow_init(&pair->up, &pair->client, &pair->server);
	smapp_flow_init(&pair->down, &pair->server, &pair->client);
	count_inc(control, active);
	spin_lock(&control->lock);
	if (control->dying)
		set_bit(PAIR_KILL, &pair->bits);
	list_add_tail(&pair->node, &control->pairs);
	spin_unlock(&control->lock);
	return pair;
}

/* From here on the pair belongs to its job. */
void smapp_pair_start(struct pair *pair)
{
	expiry_arm(pair);
	smp_mb__before_atomic();
	set_bit(PAIR_READY, &pair->bits);
	smapp_job_queue(&pair->job);
}

static bool suitable(const struct socket *sock)
{
	struct sock *sk = sock->sk;
	int state = inet_sk_state_load(sk);

	/* Taking segments would go around an upper layer protocol, such as TLS. */
	if (sk->sk_protocol == IPPROTO_TCP && inet_csk_has_ulp(sk))
		return false;
	return sock->type == SOCK_STREAM && (sk->sk_family == AF_INET || sk->sk_family == AF_INET6) &&
	       (sk->sk_protocol == IPPROTO_TCP || sk->sk_protocol == IPPROTO_MPTCP) &&
	       state != TCP_LISTEN;
}

int smapp_pair_adopt(struct control *control, const struct smapp_pair *given)
{
	struct patience patience = smapp_patience(given->connect_ms, given->idle_ms, given->half_ms);
	struct socket *client, *server;
	struct pair *pair;
	int error;

	client = sockfd_lookup(given->client, &error);
	if (!client)
		return error;
	server = sockfd_lookup(given->server, &error);
	if (!server)
		goto put_client;
	error = -EINVAL;
	if (client == server || !suitable(client) || !suitable(server))
		goto put_server;
	error = -EUSERS;
	if (count_get(control, active) >= control->max_pairs)
		goto put_server;
	error = -ENOMEM;
	pair = smapp_pair_new(control, &patience);
	if (!pair)
		goto put_server;
	pair->client.file = pair->server.file = true;
	smapp_peer_address(client, &pair->peer);
	smapp_peer_address(server, &pair->destination);
	smapp_end_watch(&pair->client, client);
	smapp_end_watch(&pair->server, server);
	if (!smapp_server_state(server))
		pair_established(pair);
	smapp_pair_start(pair);
	return 0;

put_server:
	sockfd_put(server);
put_client:
	sockfd_put(client);
	return error;
}

void smapp_pairs_kill(struct control *control)
{
	struct pair *pair;

	spin_lock(&control->lock);
	control->dying = true;
	list_for_each_entry(pair, &control->pairs, node) {
		set_bit(PAIR_KILL, &pair->bits);
		smapp_job_queue(&pair->job);
	}
	spin_unlock(&control->lock);
	wait_event(control->idle, !count_get(control, active));
	/* The last pair may still be on its way out. */
	smapp_workers_flush();
}
