/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time: the Guest's one-shot clock (interrupt 0), its wall clock, and the timer that brings the Host back.
 * Everything is kept in TSC cycles; the local APIC's timer is only what wakes us.
 */
#include "host_kernel/machine/clock.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/apic.h"

#define RETRY_NANOSECONDS 500000u    /* abi.md: 0.2 to 1 ms, while an interrupt waits that the Guest will not ask for */
#define LONGEST_TIMER     4000000000u /* what fits the timer's 32 bits */

static u64 armed HOT; /* TSC at which the timer fires; 0: it does not */
static bool deadline_changed HOT; /* the timer fired, or its target changed: else there is nothing to look at on a world switch */
static bool retrying HOT;

void clock_init(void)
{
	if (!machine.tsc_khz)
		machine.tsc_khz = apic_measure_tsc();
	if (!machine.tsc_khz)
		host_failed("the time-stamp counter does not count");
	mailbox->tsc_khz = machine.tsc_khz;
	deadline_changed = true;
}

static u64 cycles(u64 nanoseconds)
{
	return scale(nanoseconds, machine.tsc_khz, 1000000);
}

void clock_timer_fired(void)
{
	armed = 0;
	deadline_changed = true;
}

/* SET_CLOCKEVENT: interrupt 0 so many nanoseconds from now; 0: not at all. */
void clock_set_event(u64 nanoseconds)
{
	clock_set_deadline(nanoseconds ? rdtsc() + cycles(nanoseconds) : 0);
}

/* The Guest's clock is due at this TSC; 0: never. */
void clock_set_deadline(u64 tsc)
{
	guest.clock_deadline = tsc;
	deadline_changed = true;
}

/* Has the Guest's clock run out? */
void clock_check(void)
{
	if (deadline_changed && guest.clock_deadline && rdtsc() >= guest.clock_deadline) {
		guest.clock_deadline = 0;
		personality.clock_expired();
	}
}

static void __attribute__((noinline)) arm(bool retry)
{
	u64 now, target = guest.clock_deadline, nanoseconds;

	deadline_changed = false;
	retrying = retry;
	if (!target && !retry)
		return;
	now = rdtsc();
	if (retry && (!target || target > now + cycles(RETRY_NANOSECONDS)))
		target = now + cycles(RETRY_NANOSECONDS);
	if (armed > now && armed <= target)
		return;
	nanoseconds = target > now ? scale(target - now, 1000000, machine.tsc_khz) : 0;
	if (nanoseconds > LONGEST_TIMER)
		nanoseconds = LONGEST_TIMER;
	apic_timer((u32)nanoseconds + 1);
	armed = now + cycles(nanoseconds + 1);
}

/*
 * See to it that the Host comes back by itself: for the Guest's clock, and soon if retry.  A timer that is
 * already due earlier is left alone, since writing to it costs more than one needless exit.
 */
void clock_arm(bool retry)
{
	if (deadline_changed || retry != retrying)
		arm(retry);
}

/* The timer wakes nobody while the Host kernel waits for the Launcher; the next clock_arm() sees to it again. */
void clock_disarm(void)
{
	if (!armed)
		return;
	apic_timer(0);
	armed = 0;
	deadline_changed = true;
}

void clock_wall(u32 *seconds, u32 *nanoseconds)
{
	u64 since = scale(rdtsc() - mailbox->boot_tsc, 1000000, machine.tsc_khz) + machine.wall_nanoseconds;

	*seconds = machine.wall_seconds + divide(since, 1000000000, nanoseconds);
}
