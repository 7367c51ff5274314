/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What /dev/smapp_convert understands. Opening it needs CAP_NET_ADMIN, and everything made through
 * an open file ends with it. Structures grow at their end: `size` is sizeof() of the caller's.
 */
#ifndef SMAPP_CONVERT_H
#define SMAPP_CONVERT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Of the misc device. 243 to 254 are for local use; a fixed one lets systemd's DeviceAllow= name it before it is there. */
#define SMAPP_CONVERT_MINOR	250

struct smapp_address {
	__u8 ip[16];	/* IPv4 as ::ffff:a.b.c.d */
	__be16 port;	/* 0: no address */
	__u16 zero[3];
};

/* Servers see the client's own address; their answers must be routed back through this host. */
#define SMAPP_SPOOF		0x1
/* The server's side is opened when the client's SYN arrives, not when it is accepted. */
#define SMAPP_SYN_OPEN		0x2
/* And the client's SYN is answered only when the server has answered: a refusal stays a refusal. */
#define SMAPP_SYN_HOLD		0x4
/* MPTCP on the server's side too, where the server speaks it. */
#define SMAPP_SERVER_MPTCP	0x8

/* A listening TCP or MPTCP socket; nobody else may accept from it any more. */
struct smapp_listen {
	__u32 size;
	__s32 fd;
	__u32 flags;
	__u32 mark;		/* SO_MARK of the connections to servers */
	struct smapp_address destination; /* none: the address that the client connected to */
	__u32 connect_ms;
	__u32 idle_ms;		/* no byte either way */
	__u32 half_ms;		/* idle, and one side has sent its end */
	__u32 socket_buffer;	/* SO_SNDBUF and SO_RCVBUF toward servers; 0: the kernel's tuning */
	__u32 syn_table;	/* connections opened at SYN time and not yet accepted, at most */
	__u32 syn_rate;		/* of these, a second and source (IPv6: a /64) */
};

/*
 * Two stream sockets, the client's connected, the server's connected or connecting. The caller's descriptors are no
 * longer needed. Such a pair counts in `active` and in how it ends, not as accepted.
 */
struct smapp_pair {
	__u32 size;
	__s32 client;
	__s32 server;
	__u32 connect_ms;
	__u32 idle_ms;
	__u32 half_ms;
};

/* For all that is made through this file from now on. */
struct smapp_limits {
	__u32 size;
	__u32 connections;
	__u64 memory;		/* bytes between sockets; beyond it each direction moves one page at a time */
};

/* All count since the file was opened, but `active`, `syn_waiting` and `memory`. Names as in the C data path. */
#define SMAPP_STATS(X)							\
	X(accepted)		/* clients accepted */			\
	X(accepted_mptcp)	/* of these, those that speak MPTCP */	\
	X(active)							\
	X(finished)		/* both sides ended in order */		\
	X(client_aborted)	/* reset or timeout of the client */	\
	X(server_aborted)						\
	X(refused)							\
	X(unreachable)							\
	X(connect_timeout)						\
	X(idle_timeout)							\
	X(half_close_timeout)						\
	X(denied_destination)	/* would have come back to this listener */ \
	X(too_many)							\
	X(bytes_up)		/* client to server */			\
	X(bytes_down)							\
	X(opened)		/* servers connected */			\
	X(open_us)		/* sum, from accept or SYN to the server's answer */ \
	X(syn_seen)							\
	X(syn_opened)		/* servers' sides opened at SYN time */	\
	X(syn_used)		/* of these, accepted later */		\
	X(syn_expired)							\
	X(syn_refused)		/* refused or unreachable */		\
	X(syn_over_rate)						\
	X(syn_over_table)						\
	X(syn_held)		/* SYNs kept until the server had answered */ \
	X(syn_waiting)							\
	X(memory)		/* bytes between sockets now */

struct smapp_stats {
	__u64 size;
#define X(name) __u64 name;
	SMAPP_STATS(X)
#undef X
};

#define SMAPP_IOC_LISTEN	_IO('S', 0xc0)
#define SMAPP_IOC_PAIR		_IO('S', 0xc1)
#define SMAPP_IOC_LIMITS	_IO('S', 0xc2)
#define SMAPP_IOC_STATS		_IO('S', 0xc3)

/* Gives the listeners back; what was accepted goes on. */
#define SMAPP_IOC_DRAIN		_IO('S', 0xc4)

/*
 * read() gives one line a connection:
 *   STATE CLIENT SERVER AGE_MS IDLE_MS OPEN_US UP DOWN HELD PROTOCOL SYN_TIMED
 * STATE is connect or relay; addresses are as people write them (192.0.2.1:80, [2001:db8::1]:80); UP, DOWN and HELD
 * are bytes; PROTOCOL is mptcp or tcp, the client's; SYN_TIMED is 1 when the server's side was opened at SYN time.
 */
#endif
