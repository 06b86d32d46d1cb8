/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test runner. The shell's task runs the tests in ring 1. Its page directory maps the programs, for ring 3.
 *
 * Read next: test_traps.c.
 */
#include "guest_kernel/tests/test.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/fpu.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/traps/traps.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define FRAMES 96

extern const struct test tests_start[], tests_end[];

static const struct test *running;
static bool failed;
static u32 frames[FRAMES], frame_count;
static bool took_clock;
static u32 clock_base;

bool test_same(const char *what, u32 expected, u32 got)
{
	if (expected == got)
		return true;
	failed = true;
	print("FAIL %s: expected %s %#x got %#x\n", running->name, what, expected, got);
	return false;
}

bool test_failed(void)
{
	return failed;
}

void test_spin_ms(u32 ms)
{
	u64 from = clock_ns();
	while (clock_ns() - from < (u64)ms * NS_PER_MS)
		__asm__ volatile("pause");
}

u32 test_frame(void)
{
	u32 frame = frame_count < FRAMES ? frame_need() : 0;
	if (frame)
		frames[frame_count++] = frame;
	return frame;
}

u32 *test_word(u32 address)
{
	return (u32 *)address;
}

static void clock_fired(u32 irq)
{
	(void)irq;
}

void test_take_clock(void)
{
	took_clock = true;
	need_schedule = false;
	irq_set_handler(IRQ_CLOCK, clock_fired);
	hypercall(LHCALL_SET_CLOCKEVENT, 0, 0, 0, 0);
	hypercall(LHCALL_SEND_INTERRUPTS, 0, 0, 0, 0); /* injects an interrupt that is pending */
	clock_base = irq_count(IRQ_CLOCK);
}

u32 test_clock_count(void)
{
	return irq_count(IRQ_CLOCK) - clock_base;
}

void test_arm_us(u32 us)
{
	hypercall(LHCALL_SET_CLOCKEVENT, us * 1000, 0, 0, 0);
}

static void use_directory(u32 directory)
{
	current->directory = directory;
	hypercall(LHCALL_NEW_PGTABLE, directory, 0, 0, 0);
}

static bool is_test_frame(u32 frame)
{
	for (u32 i = 0; i < frame_count; i++) {
		if (frames[i] == frame)
			return true;
	}
	return false;
}

/* A test's frames, whether pages or page tables, must not be freed with the page directory: run() frees them. */
static void unmap_test_frames(u32 directory)
{
	u32 *words = page_directory_entries(directory);
	for (u32 slot = TEST_PAGES >> PDE_SHIFT; slot < (TEST_PAGES >> PDE_SHIFT) + TEST_TABLES; slot++) {
		if (is_test_frame(words[slot] & PTE_FRAME))
			words[slot] = 0;
		else if (words[slot] & PTE_PRESENT)
			memory_set(virtual(words[slot] & PTE_FRAME), 0, PAGE_SIZE);
		hypercall_async(LHCALL_SET_PGD, directory, slot, 0, 0);
	}
	hypercall(LHCALL_FLUSH_TLB, 1, 0, 0, 0);
}

static void run(const struct test *test)
{
	u32 directory = page_directory_new(), blocked = lguest_data.blocked_interrupts;
	running = test;
	failed = false;
	use_directory(directory);
	test->run();
	irq_disable();
	catch_reset();
	use_directory(kernel_page_directory());
	unmap_test_frames(directory);
	page_directory_free(directory);
	while (frame_count)
		frame_free(frames[--frame_count]);
	traps_init();
	segments_init();
	fpu_forget(&current->fpu); /* a test may leave any state in it */
	fpu_set_ts(true);
	schedule_load_tls();
	if (took_clock) {
		took_clock = false;
		irq_set_handler(IRQ_CLOCK, schedule_tick);
	}
	lguest_data.blocked_interrupts = blocked;
	schedule(); /* arms the clock for sleepers, and lets other tasks run */
	irq_enable();
}

void test_command(char *part)
{
	u32 passed = 0, bad = 0;
	for (const struct test *test = tests_start; test < tests_end; test++) {
		if (!text_contains(test->name, part))
			continue;
		run(test);
		if (failed) {
			bad++;
		} else {
			passed++;
			print("ok %s\n", test->name);
		}
	}
	print("%u passed, %u failed\n", passed, bad);
}
