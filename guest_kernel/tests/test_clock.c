/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SET_CLOCKEVENT, the TSC's rate and the wall clock, compared with each other. Only lower bounds are strict: on a busy
 * machine anything may be late.
 *
 * Read next: test_hypercalls.c.
 */
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tests/test.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define FAR_NS    4000000000u
#define YEAR_2024 1704067200u
#define YEAR_2100 4102444800u

TEST(tsc_rate, "clock: tsc_khz is between 10 MHz and 20 GHz")
{
	ASSERT(lguest_data.tsc_khz >= 10000);
	ASSERT(lguest_data.tsc_khz <= 20000000);
}

TEST(not_early, "clock: SET_CLOCKEVENT is not early by the TSC")
{
	test_take_clock();
	u64 from = clock_ns();
	test_arm_us(20000);
	ASSERT(WAIT_FOR(test_clock_count() == 1));
	ASSERT(clock_ns() - from >= 19 * (u64)NS_PER_MS);
}

TEST(one_shot, "clock: SET_CLOCKEVENT fires once")
{
	test_take_clock();
	test_arm_us(500);
	ASSERT(WAIT_FOR(test_clock_count() == 1));
	test_spin_ms(30);
	ASSERT_EQ("interrupts", 1, test_clock_count());
}

/* The second call has to come before the first deadline: repeated where the machine was too slow for that. */
static void two_events(u32 first_us, u32 second_us)
{
	for (u32 attempt = 0; attempt < 20; attempt++) {
		irq_mask(IRQ_CLOCK);
		u64 from = clock_ns();
		test_arm_us(first_us);
		test_arm_us(second_us);
		if (clock_ns() - from < (u64)first_us * 1000)
			return;
		irq_unmask(IRQ_CLOCK);
		test_take_clock();
	}
}

TEST(cancelled, "clock: SET_CLOCKEVENT of 0 cancels it")
{
	test_take_clock();
	two_events(20000, 0);
	test_spin_ms(50);
	irq_unmask(IRQ_CLOCK);
	ASSERT_EQ("interrupts", 0, test_clock_count());
}

TEST(later, "clock: a second SET_CLOCKEVENT replaces the first, later")
{
	test_take_clock();
	two_events(20000, 100000);
	u64 from = clock_ns();
	irq_unmask(IRQ_CLOCK);
	ASSERT(WAIT_FOR(test_clock_count() == 1));
	ASSERT(clock_ns() - from >= 75 * (u64)NS_PER_MS);
}

TEST(sooner, "clock: a second SET_CLOCKEVENT replaces the first, sooner")
{
	test_take_clock();
	hypercall(LHCALL_SET_CLOCKEVENT, FAR_NS, 0, 0, 0);
	u64 from = clock_ns();
	test_arm_us(1000);
	ASSERT(WAIT_FOR(test_clock_count() == 1));
	ASSERT(clock_ns() - from < FAR_NS);
}

/* NOTIFY of a device descriptor stops the Guest until the Launcher has handled it. */
TEST(while_held, "clock: SET_CLOCKEVENT stays armed over a NOTIFY that waits for the Launcher")
{
	struct virtio_device *console = console_device();
	ASSERT(console != NULL);
	test_take_clock();
	test_arm_us(200000);
	virtio_broken(console);
	ASSERT(WAIT_FOR(test_clock_count() == 1));
}

TEST(wall_plausible, "clock: the wall clock is of this century")
{
	u32 seconds, nanoseconds;
	clock_wall(&seconds, &nanoseconds);
	ASSERT(seconds > YEAR_2024);
	ASSERT(seconds < YEAR_2100);
	ASSERT(nanoseconds < NS_PER_SECOND);
}

static u64 host_time(void)
{
	return (u64)lguest_data.time_seconds * NS_PER_SECOND + lguest_data.time_nanoseconds;
}

TEST(time_anew, "clock: the Host updates the time at every interrupt")
{
	test_take_clock();
	u64 last = 0;
	for (u32 i = 1; i <= 10; i++) {
		test_arm_us(2000);
		ASSERT(WAIT_FOR(test_clock_count() == i));
		u64 now = host_time();
		ASSERT(lguest_data.time_nanoseconds < NS_PER_SECOND);
		ASSERT(now > last);
		last = now;
	}
}

/* Wall clock and TSC between two interrupts that are 100 ms apart. Neither may lag by a tenth. */
TEST(rates_agree, "clock: wall clock and TSC run at the same rate")
{
	test_take_clock();
	test_arm_us(100);
	ASSERT(WAIT_FOR(test_clock_count() == 1));
	u64 wall = host_time(), tsc = clock_ns();
	test_arm_us(100000);
	ASSERT(WAIT_FOR(test_clock_count() == 2));
	wall = host_time() - wall;
	tsc = clock_ns() - tsc;
	/* A delay between an interrupt and its clock_ns() shifts them: one delay for each interrupt. */
	ASSERT(wall >= 90 * (u64)NS_PER_MS);
	ASSERT(tsc >= 90 * (u64)NS_PER_MS);
	ASSERT(wall < tsc + 10000 * (u64)NS_PER_MS);
	ASSERT(tsc < wall + 10000 * (u64)NS_PER_MS);
}

TEST(monotonic, "clock: time does not go back")
{
	u64 last = clock_ns();
	for (u32 i = 0; i < 20000; i++) {
		u64 now = clock_ns();
		ASSERT(now >= last);
		last = now;
	}
}
