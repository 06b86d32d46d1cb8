/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows of traps and interrupts: those that the Host hands on, and faults that it answers by itself.
 *
 * Read next: bench_directories.c.
 */
#include "guest_kernel/bench/bench.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/console/text.h"
#include "guest_kernel/cpu/traps.h"
#include "guest_kernel/user/user.h"

#define CLOCK_US 200

static u32 frame;

static inline void touch(u32 address)
{
	u32 value;
	__asm__ volatile(".byte 0x8B, 0x01" /* movl (%%ecx), %%eax */ : "=a"(value) : "c"(address) : "memory");
}

static void catch_faults(void)
{
	trap_gate(TRAP_PAGE_FAULT, bench_skip, GATE_INTERRUPT);
}

static u32 reflected(u32 round)
{
	(void)round;
	return BENCH_TIMED(touch(BENCH_PAGES));
}

/*
 * Each time another page: a second fault at the same address, with nothing said to the Host in between, is the Host's to
 * look at. All are in the table of the page with the samples, which is there.
 */
USER_CODE void program_faults(u32 argument)
{
	u32 *samples = (u32 *)BENCH_PAGES;
	(void)argument;
	for (u32 round = 0; round < BENCH_ROUNDS; round++) {
		u32 address = BENCH_PAGES + (1 + round) * PAGE;
		samples[round] = BENCH_TIMED(
			__asm__ volatile(".byte 0x85, 0x01" /* testl %%eax, (%%ecx) */
					 : : "a"(BENCH_CALL), "c"(address) : "memory", "cc"));
	}
	leave(PROGRAM_OK);
}

static void reflected_inside(void)
{
	bench_program(program_faults, (struct bench_gate){ PAGE_FAULT_VECTOR, bench_skip_program, GATE_INTERRUPT });
}

static void use(u32 directory)
{
	current->directory = directory;
	hypercall(LHCALL_NEW_PGTABLE, directory, 0, 0, 0);
}

/* A directory that maps pages, none of which was used before; a new entry needs no word to the Host. */
static void map_unused(void)
{
	u32 directory = directory_new();
	frame = frame_need();
	use(directory);
	for (u32 page = 0; page < BENCH_ROUNDS; page++)
		*page_entry(directory, BENCH_PAGES + page * PAGE, true) = frame | PTE_PRESENT | PTE_WRITE | PTE_USER;
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

static void unmap(void)
{
	u32 directory = current->directory;
	for (u32 page = 0; page < BENCH_ROUNDS; page++)
		*page_entry(directory, BENCH_PAGES + page * PAGE, false) = 0;
	use(paging_kernel());
	directory_free(directory);
	frame_free(frame);
}

static u32 filled(u32 round)
{
	return BENCH_TIMED(touch(BENCH_PAGES + round * PAGE));
}

static void catch_fpu(void)
{
	trap_gate(TRAP_NO_DEVICE, bench_fpu, GATE_INTERRUPT);
}

static u32 first_fpu_use(u32 round)
{
	(void)round;
	hypercall(LHCALL_TS, 1, 0, 0, 0);
	return BENCH_TIMED(__asm__ volatile("fnop"));
}

static void catch_clock(void)
{
	trap_gate(FIRST_IRQ_VECTOR + IRQ_CLOCK, bench_clock, GATE_INTERRUPT);
	irq_unmask(IRQ_CLOCK);
}

/* One interrupt of the clock; when it was due, by our own clock. */
static u32 wait_for_clock(void)
{
	u32 due;
	bench_fired = 0;
	bench_seen = bench_ticks(); /* should the interrupt come before we spin */
	due = bench_seen + CLOCK_US * (lguest_data.tsc_khz / 1000);
	lguest_data.irq_enabled = GUEST_IF;
	hypercall(LHCALL_SET_CLOCKEVENT, CLOCK_US * 1000, 0, 0, 0);
	bench_spin();
	return due;
}

static u32 interrupted(u32 round)
{
	(void)round;
	wait_for_clock();
	return bench_gap;
}

static u32 lateness(u32 round)
{
	(void)round;
	u32 due = wait_for_clock();
	return bench_arrived - due;
}

const struct bench bench_traps[] = {
	{ .name = "fault-reflected", .once = reflected, .set_up = catch_faults },
	{ .name = "fault-reflected-inside", .all = reflected_inside },
	{ .name = "fault-filled", .once = filled, .set_up = map_unused, .tear_down = unmap },
	{ .name = "fpu-trap", .once = first_fpu_use, .set_up = catch_fpu },
	{ .name = "interrupt", .once = interrupted, .set_up = catch_clock },
	{ .name = "timer-lateness", .once = lateness, .set_up = catch_clock },
	{ .name = NULL },
};
