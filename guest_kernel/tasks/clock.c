/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time is the TSC at the rate that the Host gives. There is no periodic tick: schedule.c arms the clock for the next
 * event, and an idle Guest without one leaves it off.
 *
 * Read next: schedule.c.
 * Next in the book: fpu.c.
 */
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/cpu/power.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

/* Limits of the delay: LHCALL_SET_CLOCKEVENT takes 32 bits, and 0 turns the clock off. */
#define MAX_DELAY_NS 4000000000u
#define MIN_DELAY_NS 1000u

static u64 boot_tsc;
static u64 boot_wall_ns;

static u64 read_tsc(void)
{
	u32 low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

u64 clock_ns(void)
{
	u64 ms, ns;
	u32 ticks = divide64(read_tsc() - boot_tsc, lguest_data.tsc_khz, &ms);
	divide64((u64)ticks * NS_PER_MS, lguest_data.tsc_khz, &ns);
	return ms * NS_PER_MS + ns;
}

u32 clock_ms(void)
{
	u64 ms;
	divide64(read_tsc() - boot_tsc, lguest_data.tsc_khz, &ms);
	return (u32)ms;
}

void clock_wall(u32 *seconds, u32 *nanoseconds)
{
	u64 whole;
	*nanoseconds = divide64(boot_wall_ns + clock_ns(), NS_PER_SECOND, &whole);
	*seconds = (u32)whole;
}

void clock_arm(u64 deadline)
{
	u32 delay = 0;
	if (deadline != CLOCK_NEVER) {
		u64 now = clock_ns(), wait = deadline > now ? deadline - now : 0;
		delay = wait > MAX_DELAY_NS ? MAX_DELAY_NS : wait < MIN_DELAY_NS ? MIN_DELAY_NS : (u32)wait;
	}
	hypercall_async(LHCALL_SET_CLOCKEVENT, delay, 0, 0, 0);
}

void clock_init(void)
{
	if (!lguest_data.tsc_khz)
		panic("the Host gave no TSC rate");
	boot_tsc = read_tsc();
	boot_wall_ns = (u64)lguest_data.time_seconds * NS_PER_SECOND + lguest_data.time_nanoseconds;
}
