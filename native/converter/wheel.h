/* SPDX-License-Identifier: MIT */
/*
 * Coarse timers: a ring of one-second slots. A timer's own deadline may move later while it lies in a
 * slot; it is looked at when the slot comes up, and then put where it belongs. So activity on a
 * connection costs nothing, and an idle connection is touched once a turn (512 s).
 */
#ifndef SMAPP_WHEEL_H
#define SMAPP_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_SLOTS 512
#define WHEEL_TICK 1000 /* ms */

struct timer {
	struct timer *next, **at; /* at: what points to us; NULL: not in the wheel */
};

struct wheel {
	struct timer *slots[WHEEL_SLOTS];
	uint64_t tick; /* the last one that was run */
	unsigned int count;
};

void wheel_init(struct wheel *wheel, uint64_t now);
void wheel_put(struct wheel *wheel, struct timer *timer, uint64_t deadline);
void wheel_remove(struct wheel *wheel, struct timer *timer);
/* Calls @run with each timer whose slot has come; it is out of the wheel then. */
void wheel_run(struct wheel *wheel, uint64_t now, void (*run)(struct timer *timer, void *context), void *context);
/* How long epoll may sleep, in ms: -1 when nothing is in the wheel. */
int wheel_sleep(const struct wheel *wheel, uint64_t now);

#endif
