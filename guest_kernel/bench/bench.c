/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `bench` command: what a Guest pays for what it asks of its Host, measured from the inside, and what it does not
 * have to ask. lguest_py/bench/micro.py starts it and says what each row means.
 *
 * Read next: bench_calls.c, bench_traps.c, bench_directories.c; bench_samples.h for the clock.
 */
#include "guest_kernel/bench/bench.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/cpu/fpu.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/console/print.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/console/text.h"

static u32 nothing(u32 round)
{
	(void)round;
	return BENCH_TIMED();
}

static const struct bench clock_row = { .name = "clock", .once = nothing };

/* How often the Switcher answered by itself: ring 1 can read the page, and cannot believe it; the bench may. */
static u32 fast_paths(void)
{
	return ((volatile struct untrusted *)SWITCHER_STACK_PAGE)->fast_paths;
}

/* Everything as a kernel finds it that was not measured. */
static void restore(u32 blocked)
{
	traps_init();
	segments_init();
	fpu_forget(current);
	fpu_ts(true);
	irq_set_handler(IRQ_CLOCK, schedule_tick);
	lguest_data.blocked_interrupts = blocked;
	schedule();
	irq_enable();
}

static void run(const struct bench *bench)
{
	u32 blocked = lguest_data.blocked_interrupts, before;
	irq_disable();
	hypercall(LHCALL_SET_CLOCKEVENT, 0, 0, 0, 0);
	hypercall(LHCALL_TS, 0, 0, 0, 0);
	bench_begin();
	if (bench->set_up)
		bench->set_up();
	before = fast_paths();
	if (bench->all)
		bench->all();
	for (u32 round = 0; bench->once && round < BENCH_ROUNDS; round++) {
		u32 ticks = bench->once(round);
		if (round >= BENCH_WARM)
			bench_add(ticks);
	}
	before = (fast_paths() - before + BENCH_ROUNDS / 2) / BENCH_ROUNDS; /* those about a row may have been one more or less */
	if (bench->tear_down)
		bench->tear_down();
	restore(blocked);
	bench_print(bench->name);
	if (before)
		print("BENCH-COUNTS %s answered=%u\n", bench->name, before);
}

/* The first word of names, cut off; the rest. */
static char *next_word(char *names)
{
	while (*names && *names != ' ')
		names++;
	while (*names == ' ')
		*names++ = 0;
	return names;
}

static const struct bench *find(const char *name)
{
	static const struct bench *const tables[] = { bench_calls, bench_traps, bench_directories };
	for (u32 i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		for (const struct bench *bench = tables[i]; bench->name; bench++) {
			if (text_equal(bench->name, name))
				return bench;
		}
	}
	return NULL;
}

static void run_all(const struct bench *table)
{
	for (; table->name; table++)
		run(table);
}

void bench_command(char *names)
{
	bool all = !*names;
	run(&clock_row);
	if (all) {
		run_all(bench_calls);
		run_all(bench_traps);
		run_all(bench_directories);
	}
	for (char *rest; *names; names = rest) {
		rest = next_word(names);
		const struct bench *bench = find(names);
		if (bench)
			run(bench);
		else
			print("no bench %s\n", names);
	}
	print("BENCH done\n");
}
