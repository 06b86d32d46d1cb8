/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time: the Guest's one-shot clock (interrupt 0), its wall clock, and the timer that forces an exit to the Host kernel.
 * All times are in TSC cycles; the local APIC's timer only triggers the exit.  Read next: apic.c.
 * Next in the book: mailbox.c.
 */
#include "host_kernel/machine/clock.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/apic.h"

#define RETRY_NANOSECONDS 500000u    /* while an interrupt is pending and the Guest need not exit when it unmasks it */
#define LONGEST_TIMER     4000000000u /* fits the timer's 32 bits */

static u64 armed HOT; /* TSC at which the timer fires; 0: it is stopped */
static bool deadline_changed HOT; /* or the timer fired; otherwise a world switch need not check the clock */
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

/* SET_CLOCKEVENT: interrupt 0 after so many nanoseconds; 0: no interrupt. */
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

/* The Guest looks for its clock's interrupt with interrupts off, when the machine's timer cannot exit: look too. */
void clock_look(void)
{
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
 * Arm the timer for the Guest's clock, and for a short time if retry.  A timer that fires earlier is left as it is, since a
 * write to it costs more than one unnecessary exit.
 */
void clock_arm(bool retry)
{
	if (deadline_changed || retry != retrying)
		arm(retry);
}

/* Let the timer fire at this TSC at the latest; what it is for otherwise is armed anew then. */
void clock_exit_by(u64 tsc)
{
	u64 now, nanoseconds;

	if (armed && armed <= tsc)
		return;
	now = rdtsc();
	nanoseconds = tsc > now ? scale(tsc - now, 1000000, machine.tsc_khz) : 0;
	apic_timer(nanoseconds < LONGEST_TIMER ? (u32)nanoseconds + 1 : LONGEST_TIMER);
	armed = tsc;
}

/* Stop the timer while the Host kernel waits for the Launcher; the next clock_arm() arms it again. */
void clock_disarm(void)
{
	if (!armed)
		return;
	apic_timer(0);
	armed = 0;
	deadline_changed = true;
}

/* In another machine no timer is armed. */
void clock_restored(void)
{
	armed = 0;
	deadline_changed = true;
}

void clock_wall(u32 *seconds, u32 *nanoseconds)
{
	u64 since = scale(rdtsc() - mailbox->boot_tsc, 1000000, machine.tsc_khz) + machine.wall_nanoseconds;

	*seconds = machine.wall_seconds + divide(since, 1000000000, nanoseconds);
}
