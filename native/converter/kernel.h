/* SPDX-License-Identifier: MIT */
/*
 * The kernel module as data path (native/kmod; --kernel). It listens at transparent and forward doors itself, unless
 * there are rules of access, which it does not know; everywhere else we accept, connect, and hand the connection over
 * once bytes can flow. What it does counts as done by us.
 */
#ifndef SMAPP_KERNEL_H
#define SMAPP_KERNEL_H

#include "options.h"
#include "stats.h"

#include <stdio.h>

/* Exits with a message when the module is not there. */
void kernel_open(const struct options *options);
/* Whether the module listens at this door, rather than we. */
bool kernel_listens(const struct options *options, const struct door *door);
/* Gives it the listening socket; ours stays open, for a successor. */
void kernel_listen(const struct options *options, const struct door *door, int fd);
/* It moves the bytes between these sockets from now on, through references of its own. False: we do. */
bool kernel_adopt(const struct options *options, int client, int server);
/* Stops listening. */
void kernel_drain(void);
void kernel_add_stats(struct stats *total);
/* As control.c prints those of our own. */
void kernel_print_connections(FILE *out);

#endif
