/* SPDX-License-Identifier: MIT */
/* Listening sockets: one a door and thread, opened here or taken over from the process before. */
#ifndef SMAPP_LISTENER_H
#define SMAPP_LISTENER_H

#include "loop.h"

#define LISTENERS_MAX 4096

/* Listeners of a predecessor; those that fit no door are closed by listeners_open(). */
struct inheritance {
	int fds[LISTENERS_MAX];
	unsigned int count;
};

/* Fills loop->listeners of all @count loops. Exits with a message when a door cannot be opened. */
void listeners_open(struct loop *loops, unsigned int count, struct inheritance *inherited);

#endif
