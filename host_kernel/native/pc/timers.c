/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's timers, of which the earliest sets the deadline of its clock; and how late they may be in an idle Guest.
 * All times are in TSC cycles.  Read next: pit.c, apic_timer.c.
 */
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/host.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/clock.h"

#define LONGEST_SLACK 100u /* milliseconds */

struct timer {
	u64 due;  /* 0: never */
	u64 late; /* when it expires at the latest */
	void (*expired)(void);
};

static struct timer timers[TIMERS];
static u64 idle_since HOT; /* TSC since when no program ran and only the clock interrupted; 0: the Guest is not idle */

void timer_init(u32 number, void (*expired)(void))
{
	timers[number].expired = expired;
}

/*
 * How late a one-shot interrupt may be, in cycles, so that an idle kernel with a fixed tick rate does not wake for each tick.
 * A sleep is prolonged by at most a sixteenth, and by at most LONGEST_SLACK.  A kernel with one-shot interrupts reads the
 * time from another clock.
 */
static u64 slack(void)
{
	u64 idle = idle_since ? rdtsc() - idle_since : 0, longest = LONGEST_SLACK * (u64)machine.tsc_khz;

	return idle / 16 < longest ? idle / 16 : longest;
}

static void set_deadline(void)
{
	u64 first = 0;

	for (u32 number = 0; number < TIMERS; number++)
		if (timers[number].late && (!first || timers[number].late < first))
			first = timers[number].late;
	clock_set_deadline(first);
}

/* A timer is due at this TSC, or never (0).  A one-shot one may be late. */
void timer_set(u32 number, u64 due, bool one_shot)
{
	timers[number].due = due;
	timers[number].late = due && one_shot ? due + slack() : due;
	set_deadline();
}

/* The Guest's clock is due: that is one of these timers, and others that are due too. */
void timers_expired(void)
{
	u64 now = rdtsc();

	for (u32 number = 0; number < TIMERS; number++) {
		struct timer *timer = &timers[number];

		if (!timer->due || timer->due > now)
			continue;
		timer->due = timer->late = 0;
		timer->expired();
	}
	set_deadline();
}

/* The Guest is halted. */
void guest_idle(void)
{
	if (!idle_since)
		idle_since = rdtsc();
}

bool guest_is_idle(void)
{
	return idle_since != 0;
}

/*
 * A program runs, or another interrupt than a timer's was injected; work of the kernel alone does not count.  A one-shot
 * interrupt that is outstanding loses its slack.
 */
void guest_not_idle(void)
{
	if (!idle_since)
		return;
	idle_since = 0;
	for (u32 number = 0; number < TIMERS; number++)
		timers[number].late = timers[number].due;
	set_deadline();
}
