/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time is the TSC, at the rate the Host gives. There is no periodic tick: schedule.c arms the clock for the
 * next thing there is to do, and an idle Guest with nothing to wait for arms nothing.
 *
 * Read next: schedule.c.
 */
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/tasks/power.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/console/text.h"

#define LONGEST_NS 4000000000u /* SET_CLOCKEVENT takes 32 bits */
#define SHORTEST_NS 1000u

static u64 tsc_at_start;
static u64 wall_at_start; /* nanoseconds */

u64 clock_tsc(void)
{
	u32 low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

u64 clock_ns(void)
{
	u64 ms, rest;
	u32 ticks = divide64(clock_tsc() - tsc_at_start, lguest_data.tsc_khz, &ms);
	divide64((u64)ticks * NS_PER_MS, lguest_data.tsc_khz, &rest);
	return ms * NS_PER_MS + rest;
}

u32 clock_ms(void)
{
	u64 ms;
	divide64(clock_tsc() - tsc_at_start, lguest_data.tsc_khz, &ms);
	return (u32)ms;
}

void clock_wall(u32 *seconds, u32 *nanoseconds)
{
	u64 whole;
	*nanoseconds = divide64(wall_at_start + clock_ns(), NS_PER_SECOND, &whole);
	*seconds = (u32)whole;
}

void clock_arm(u64 deadline)
{
	u32 delay = 0;
	if (deadline != CLOCK_NEVER) {
		u64 now = clock_ns(), wait = deadline > now ? deadline - now : 0;
		delay = wait > LONGEST_NS ? LONGEST_NS : wait < SHORTEST_NS ? SHORTEST_NS : (u32)wait;
	}
	hypercall_async(LHCALL_SET_CLOCKEVENT, delay, 0, 0, 0);
}

void clock_init(void)
{
	if (!lguest_data.tsc_khz)
		power_panic("the Host gave no TSC rate");
	tsc_at_start = clock_tsc();
	wall_at_start = (u64)lguest_data.time_seconds * NS_PER_SECOND + lguest_data.time_nanoseconds;
	irq_set_handler(IRQ_CLOCK, schedule_tick);
}
