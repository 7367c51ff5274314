/* SPDX-License-Identifier: MIT */
/*
 * The control socket (unix, stream): a word a line in, JSON out, one object a line.
 *   stats        one object: counters summed over the threads (stats.h), pid, draining, uptime_ms
 *   connections  one object a connection, then {"end":true}
 *   listeners    the listening sockets (SCM_RIGHTS, with one object a message), then {"end":true}
 *   drain        {"end":true}; stops accepting, ends with the last connection, is found at PATH.PID meanwhile
 */
#ifndef SMAPP_CONTROL_H
#define SMAPP_CONTROL_H

#include "listener.h"

/* Asks the process behind options->control, if any, for its listeners; both accept from them then. */
void control_inherit(const struct options *options, struct inheritance *inherited);
/* We are up: lets that process drain. */
void control_relieve(const struct options *options);
/* Serves until SIGTERM or SIGINT, or until everything is drained. Call with these signals blocked. */
void control_serve(const struct options *options, struct loop *loops);

#endif
