/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows of traps and interrupts: those that are reflected to the Guest, and faults that the Host handles itself.
 *
 * Read next: bench_directories.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/bench/bench_handlers.h"
#include "guest_kernel/bench/bench_program.h"
#include "guest_kernel/bench/bench_row.h"
#include "guest_kernel/bench/bench_samples.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/idt.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/user/programs.h"
#include "guest_kernel/user/user.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define KHZ_PER_MHZ 1000
#define CLOCK_US 200

static u32 frame;

static inline void touch(u32 address)
{
	u32 value;
	__asm__ volatile(".byte 0x8B, 0x01" /* movl (%%ecx), %%eax */ : "=a"(value) : "c"(address) : "memory");
}

static void catch_faults(void)
{
	idt_set_gate(TRAP_PAGE_FAULT, bench_skip, GATE_INTERRUPT);
}

static u32 reflected(u32 round)
{
	(void)round;
	return BENCH_TIMED(touch(BENCH_PAGES));
}

/*
 * Each round takes another page: a second fault at the same address, without a hypercall in between, goes to the Host
 * and not through the fast path. The pages are in the page table of the samples' page, which exists.
 */
static USER_CODE void program_faults(u32 argument)
{
	u32 *samples = (u32 *)BENCH_PAGES;
	(void)argument;
	for (u32 round = 0; round < BENCH_ROUNDS; round++) {
		u32 address = BENCH_PAGES + (1 + round) * PAGE_SIZE;
		samples[round] = BENCH_TIMED(
			__asm__ volatile(".byte 0x85, 0x01" /* testl %%eax, (%%ecx) */
					 : : "a"(BENCH_CALL), "c"(address) : "memory", "cc"));
	}
	user_exit(PROGRAM_OK);
}

static void reflected_inside(void)
{
	bench_program(program_faults, (struct bench_gate){ TRAP_PAGE_FAULT, bench_skip_program, GATE_INTERRUPT });
}

static void use(u32 directory)
{
	current->directory = directory;
	hypercall(LHCALL_NEW_PGTABLE, directory, 0, 0, 0);
}

/* A page directory whose pages were not accessed yet. An entry that was not present needs no hypercall. */
static void map_unused(void)
{
	u32 directory = page_directory_new();
	frame = frame_need();
	use(directory);
	for (u32 page = 0; page < BENCH_ROUNDS; page++)
		*pte_lookup(directory, BENCH_PAGES + page * PAGE_SIZE, true) = frame | PTE_PRESENT | PTE_WRITE | PTE_USER;
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

static void unmap(void)
{
	u32 directory = current->directory;
	for (u32 page = 0; page < BENCH_ROUNDS; page++)
		*pte_lookup(directory, BENCH_PAGES + page * PAGE_SIZE, false) = 0;
	use(kernel_page_directory());
	page_directory_free(directory);
	frame_free(frame);
}

static u32 filled(u32 round)
{
	return BENCH_TIMED(touch(BENCH_PAGES + round * PAGE_SIZE));
}

static void catch_fpu(void)
{
	idt_set_gate(TRAP_NO_DEVICE, bench_fpu, GATE_INTERRUPT);
}

static u32 first_fpu_use(u32 round)
{
	(void)round;
	hypercall(LHCALL_TS, 1, 0, 0, 0);
	return BENCH_TIMED(__asm__ volatile("fnop"));
}

static void catch_clock(void)
{
	idt_set_gate(FIRST_IRQ_VECTOR + IRQ_CLOCK, bench_clock, GATE_INTERRUPT);
	irq_unmask(IRQ_CLOCK);
}

/* Waits for one clock interrupt; returns the tick at which it was due. */
static u32 wait_for_clock(void)
{
	u32 due;
	bench_fired = 0;
	bench_seen = bench_ticks(); /* in case the interrupt comes before bench_spin() */
	due = bench_seen + CLOCK_US * (lguest_data.tsc_khz / KHZ_PER_MHZ);
	lguest_data.irq_enabled = GUEST_IF;
	hypercall(LHCALL_SET_CLOCKEVENT, CLOCK_US * NS_PER_US, 0, 0, 0);
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

const struct bench_row bench_traps[] = {
	{ .name = "fault-reflected", .once = reflected, .set_up = catch_faults },
	{ .name = "fault-reflected-inside", .all = reflected_inside },
	{ .name = "fault-filled", .once = filled, .set_up = map_unused, .tear_down = unmap },
	{ .name = "fpu-trap", .once = first_fpu_use, .set_up = catch_fpu },
	{ .name = "interrupt", .once = interrupted, .set_up = catch_clock },
	{ .name = "timer-lateness", .once = lateness, .set_up = catch_clock },
	{ .name = NULL },
};
