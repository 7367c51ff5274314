/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module's nouns. A control is one open file of the device; it owns listeners, which own nothing
 * but their socket, and pairs. A pair is a client's connection and the one to its server: two ends, and
 * two flows between them. All of a pair's life after its making happens in its own job, so it needs no
 * lock: others only set bits in it and queue the job.
 */
#ifndef CONVERT_H
#define CONVERT_H

#include <linux/in6.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <net/sock.h>

#include "smapp_convert.h"
#include "worker.h"

struct door;
struct pair;

enum counter {
#define X(name) COUNT_##name,
	SMAPP_STATS(X)
#undef X
	COUNTERS
};

struct control {
	spinlock_t lock;		/* pairs, dying */
	struct list_head pairs;
	bool dying;
	struct mutex setup;		/* listeners, doors, limits: ioctls */
	struct list_head listeners;
	struct list_head doors;
	u32 max_pairs;
	u64 max_memory;
	wait_queue_head_t idle;
	atomic64_t count[COUNTERS];
};

#define count_add(c, name, n)	atomic64_add(n, &(c)->count[COUNT_##name])
#define count_inc(c, name)	atomic64_inc(&(c)->count[COUNT_##name])
#define count_dec(c, name)	atomic64_dec(&(c)->count[COUNT_##name])
#define count_get(c, name)	atomic64_read(&(c)->count[COUNT_##name])

struct patience {
	unsigned long connect, idle, half;	/* jiffies */
};

struct listener {
	struct list_head node;
	struct control *control;
	struct socket *sock;
	struct smapp_listen config;
	struct patience patience;
	struct door *door;			/* NULL unless SMAPP_SYN_OPEN */
	struct job job;
	bool closing;
	wait_queue_entry_t wait;
};

enum end_bit {
	END_READABLE,		/* there may be bytes, or the end, or an error */
	END_FULL,		/* a send has found no room since the last wake-up for room */
};

struct end {
	struct pair *pair;
	struct socket *sock;
	unsigned long bits;
	bool mptcp;
	bool file;		/* came by descriptor: give back with sockfd_put() */
	bool watched;
	wait_queue_entry_t wait;
};

struct flow {
	struct end *from, *to;
	struct page *page;	/* where bytes were copied to */
	u32 offset, length;	/* the part of it that is still to be sent */
	u32 counted;		/* of it, in the control's memory */
	struct sk_buff_head taken; /* clones of received segments, still to be sent */
	u32 taken_bytes;
	bool given;		/* the socket has references to the page now */
	bool filled;		/* the last read got all that it asked for */
	bool ended;		/* `from` has sent its end */
	bool closed;		/* and `to` was told */
	u64 bytes;
};

enum pair_bit {
	PAIR_READY,		/* fully made */
	PAIR_KILL,
	PAIR_EXPIRY,		/* look at the deadline */
	PAIR_DEAD,		/* all gone but the memory */
};

enum pair_state { STATE_CONNECT, STATE_RELAY };

struct pair {
	struct job job;
	struct timer_list expiry;
	struct list_head node;
	struct control *control;
	unsigned long bits;
	enum pair_state state;
	struct end client, server;
	struct flow up, down;	/* client to server, server to client */
	struct patience patience;
	unsigned long since, active;	/* jiffies */
	ktime_t begun;
	u32 open_us;
	bool syn_timed;
	struct sockaddr_in6 peer, destination;
};

extern struct workqueue_struct *smapp_queue;	/* for what is not a connection yet */

/* listener.c */
int smapp_listen(struct control *control, const struct smapp_listen *config);
void smapp_listener_free(struct listener *listener);

/*
 * server.c: opens the connection of @peer, which came to @local, to @destination. Returns 0 or a negative error;
 * connecting goes on when it returns.
 */
int smapp_server_open(struct net *net, const struct smapp_listen *config, const struct sockaddr_in6 *local,
		      const struct sockaddr_in6 *peer, const struct sockaddr_in6 *destination,
		      struct socket **result);
/* 0 when connected, -EINPROGRESS, or why it failed. */
int smapp_server_state(struct socket *sock);
/* Resets the connection. */
void smapp_reset(struct socket *sock);
/* Addresses as sockaddr_in6, IPv4 mapped. */
bool smapp_address_is_v4(const struct sockaddr_in6 *address);
int smapp_local_address(struct socket *sock, struct sockaddr_in6 *address);
int smapp_peer_address(struct socket *sock, struct sockaddr_in6 *address);

/* pair.c */
struct pair *smapp_pair_new(struct control *control, const struct patience *patience);
void smapp_pair_start(struct pair *pair);
void smapp_end_watch(struct end *end, struct socket *sock);
int smapp_pair_adopt(struct control *control, const struct smapp_pair *given);
void smapp_pairs_kill(struct control *control);
void smapp_count_failure(struct control *control, int error);
struct patience smapp_patience(u32 connect_ms, u32 idle_ms, u32 half_ms);

/* flow.c: returns the end that failed, or NULL. Sets *more when the turn is over before the work. */
struct end *smapp_flow_move(struct flow *flow, bool *more);
void smapp_flow_init(struct flow *flow, struct end *from, struct end *to);
void smapp_flow_free(struct flow *flow);

/* syn.c */
struct door *smapp_door_get(struct control *control, const struct listener *listener);
void smapp_door_put(struct door *door);
/*
 * The server's side that was opened for this client's SYN: 0 and the socket, its error, or -ENOENT.
 * `begun` is when the SYN came.
 */
int smapp_syn_claim(struct door *door, const struct sockaddr_in6 *peer,
		    const struct sockaddr_in6 *local, struct socket **sock, ktime_t *begun);

/* report.c */
int smapp_report_stats(struct control *control, void __user *to);
int smapp_report_open(struct file *file, struct control *control);
int smapp_report_release(struct inode *inode, struct file *file);
struct control *smapp_report_control(struct file *file);

#endif
