// SPDX-License-Identifier: MIT
#include "wheel.h"

#include <stddef.h>

void wheel_init(struct wheel *wheel, uint64_t now)
{
	wheel->tick = now / WHEEL_TICK;
}

void wheel_put(struct wheel *wheel, struct timer *timer, uint64_t deadline)
{
	uint64_t tick = deadline / WHEEL_TICK + 1;

	wheel_remove(wheel, timer);
	if (tick <= wheel->tick)
		tick = wheel->tick + 1;
	if (tick > wheel->tick + WHEEL_SLOTS - 1)
		tick = wheel->tick + WHEEL_SLOTS - 1;
	struct timer **slot = &wheel->slots[tick % WHEEL_SLOTS];

	timer->next = *slot;
	timer->at = slot;
	if (timer->next)
		timer->next->at = &timer->next;
	*slot = timer;
	wheel->count++;
}

void wheel_remove(struct wheel *wheel, struct timer *timer)
{
	if (!timer->at)
		return;
	*timer->at = timer->next;
	if (timer->next)
		timer->next->at = timer->at;
	timer->at = NULL;
	wheel->count--;
}

void wheel_run(struct wheel *wheel, uint64_t now, void (*run)(struct timer *timer, void *context), void *context)
{
	uint64_t tick = now / WHEEL_TICK;

	if (tick > wheel->tick + WHEEL_SLOTS) /* slept for long with nothing in the wheel */
		wheel->tick = tick - WHEEL_SLOTS;
	while (wheel->tick < tick) {
		struct timer *due, *timer;

		wheel->tick++;
		due = wheel->slots[wheel->tick % WHEEL_SLOTS];
		wheel->slots[wheel->tick % WHEEL_SLOTS] = NULL;
		if (due)
			due->at = &due;
		while ((timer = due)) {
			wheel_remove(wheel, timer);
			run(timer, context);
		}
	}
}

int wheel_sleep(const struct wheel *wheel, uint64_t now)
{
	if (!wheel->count)
		return -1;
	return (wheel->tick + 1) * WHEEL_TICK > now ? (wheel->tick + 1) * WHEEL_TICK - now : 0;
}
