/* SPDX-License-Identifier: MIT */
/* Counters. Each thread has its own, and the control thread adds them up. All are since the start, but `active`. */
#ifndef SMAPP_STATS_H
#define SMAPP_STATS_H

#include <stdint.h>

#define STATS(X)                                                                                        \
	X(accepted)	      /* clients accepted */                                                    \
	X(accepted_mptcp)     /* of these, those that speak MPTCP */                                    \
	X(active)	      /* connections now */                                                     \
	X(finished)	      /* both sides ended in order */                                           \
	X(client_aborted)     /* reset or timeout of the client, passed on to the server */             \
	X(server_aborted)     /* reset or timeout of the server, passed on to the client */             \
	X(refused)	      /* the server refused */                                                  \
	X(unreachable)	      /* no route to the server, or another error of the network */             \
	X(connect_timeout)                                                                              \
	X(request_timeout)    /* the client did not say where to */                                     \
	X(idle_timeout)                                                                                 \
	X(half_close_timeout)                                                                           \
	X(denied_source)                                                                                \
	X(denied_destination)                                                                           \
	X(too_many)	      /* over the limit of a source, or of all */                               \
	X(no_files)	      /* times that accept ran out of file descriptors */                       \
	X(bad_request)	      /* RFC 8803 messages answered with an error */                            \
	X(bytes_up)	      /* client to server */                                                    \
	X(bytes_down)                                                                                   \
	X(opened)	      /* servers connected */                                                   \
	X(open_us)	      /* sum, from accept() (or the SYN, if seen) to the server's SYN/ACK */    \
	X(syn_seen)	      /* SYNs toward our doors */                                               \
	X(syn_opened)	      /* servers' sides opened at SYN time */                                   \
	X(syn_used)	      /* of these, accepted later */                                            \
	X(syn_expired)	      /* never accepted */                                                      \
	X(syn_refused)	      /* refused or unreachable */                                              \
	X(syn_over_rate)                                                                                \
	X(syn_over_table)                                                                               \
	X(syn_held)	      /* SYNs given back to the stack once the server had answered */           \
	X(syn_lost)	      /* SYNs that the packet socket had no room for */                         \
	X(dst_opt)	      /* destinations read from a SYN */

struct stats {
#define X(name) uint64_t name;
	STATS(X)
#undef X
};

/* Single writer: plain arithmetic, published with one relaxed store. */
#define stats_add(stats, field, n) \
	__atomic_store_n(&(stats)->field, (stats)->field + (n), __ATOMIC_RELAXED)
#define stats_get(stats, field) __atomic_load_n(&(stats)->field, __ATOMIC_RELAXED)

#endif
