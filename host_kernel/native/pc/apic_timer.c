/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's timer: it counts down from the initial count, once or again and again.  All times are in TSC cycles.
 * Source: Intel SDM vol. 3, 11.5.4.  Read before: local_apic.c.
 */
#include "host_kernel/native/pc/local_apic.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/host.h"

#define APIC_KHZ 100000u /* exact enough for a kernel that measures it, and with a divisor of 16 the counter lasts long */
#define SHORTEST_PERIOD_US 20u /* between interrupts of the periodic mode: else the Guest has no time to run */

static u64 start;   /* TSC when the counter was at `from` */
static u32 from;
static u32 initial; /* what the periodic mode starts again with; 0: the timer is stopped */
static u32 divide_by;
static bool periodic;
static bool done;   /* it was not periodic when it expired */

static u64 to_cycles(u64 count)
{
	return scale(count * divide_by, machine.tsc_khz, APIC_KHZ);
}

/* How much the counter would have fallen by, had it no end. */
static u64 elapsed(void)
{
	return divide(scale(rdtsc() - start, APIC_KHZ, machine.tsc_khz), divide_by, NULL);
}

u32 apic_timer_count(void)
{
	u64 passed;
	u32 rest;

	if (!initial || done)
		return 0;
	passed = elapsed();
	if (passed < from)
		return from - passed;
	if (!periodic)
		return 0;
	divide(passed - from, initial, &rest);
	return initial - rest;
}

static void schedule(void)
{
	u64 passed, next, soonest;

	if (!initial || done) {
		timer_set(TIMER_APIC, 0, false);
		return;
	}
	passed = elapsed();
	next = from;
	if (periodic && passed >= from)
		next += (divide(passed - from, initial, NULL) + 1) * initial;
	next = start + to_cycles(next);
	soonest = rdtsc() + scale(SHORTEST_PERIOD_US, machine.tsc_khz, 1000);
	timer_set(TIMER_APIC, periodic && next < soonest ? soonest : next, !periodic);
}

/* The counter goes on from where it is, in another way. */
static void change(u32 by, bool again)
{
	from = apic_timer_count();
	start = rdtsc();
	divide_by = by;
	periodic = again;
	schedule();
}

void apic_timer_start(u32 count)
{
	initial = from = count;
	done = false;
	start = rdtsc();
	schedule();
}

/* The divide configuration register: bits 0, 1 and 3 are 0 for 2, 1 for 4, … and 7 for 1. */
void apic_timer_divide(u32 value)
{
	change(1u << ((value & 3) + (value >> 1 & 4) + 1) % 8, periodic);
}

void apic_timer_mode(bool again)
{
	if (again != periodic)
		change(divide_by, again);
}

/* Has it expired, and nobody was told? */
bool apic_timer_due(void)
{
	return initial && !done && !periodic && elapsed() >= from;
}

/* It has expired: set the next deadline. */
void apic_timer_again(void)
{
	done = !periodic;
	schedule();
}

void apic_timer_reset(void)
{
	initial = from = 0;
	divide_by = 2;
	periodic = done = false;
	schedule();
}
