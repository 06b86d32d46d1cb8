/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `bench` command: what the Host's services cost a Guest, and what it gets without the Host, measured from the
 * inside. lguest_py/bench/micro.py runs it and describes each row.
 *
 * Read next: bench_calls.c, bench_traps.c, bench_directories.c; bench_samples.h for the clock.
 */
#include "guest_kernel/bench/bench.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bench/bench_row.h"
#include "guest_kernel/bench/bench_samples.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/tasks/fpu.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/traps/traps.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

static u32 empty(u32 round)
{
	(void)round;
	return BENCH_TIMED();
}

static const struct bench_row clock_row = { .name = "clock", .once = empty };

/*
 * Traps that the Switcher handled in its fast path. Ring 1 can also write the counter, so nothing else may rely on it.
 */
static u32 fast_paths(void)
{
	return ((volatile struct untrusted *)SWITCHER_STACK_PAGE)->fast_paths;
}

/* Restores all that a row may have changed. */
static void restore(u32 blocked)
{
	traps_init();
	segments_init();
	fpu_forget(&current->fpu);
	fpu_set_ts(true);
	irq_set_handler(IRQ_CLOCK, schedule_tick);
	lguest_data.blocked_interrupts = blocked;
	schedule();
	irq_enable();
}

static void run(const struct bench_row *row)
{
	u32 blocked = lguest_data.blocked_interrupts, before;
	irq_disable();
	hypercall(LHCALL_SET_CLOCKEVENT, 0, 0, 0, 0);
	hypercall(LHCALL_TS, 0, 0, 0, 0);
	bench_begin();
	if (row->set_up)
		row->set_up();
	before = fast_paths();
	if (row->all)
		row->all();
	for (u32 round = 0; row->once && round < BENCH_ROUNDS; round++) {
		u32 ticks = row->once(round);
		if (round >= BENCH_WARM)
			bench_add(ticks);
	}
	/* For one round, to the nearest: set_up() may have caused some of them. */
	before = (fast_paths() - before + BENCH_ROUNDS / 2) / BENCH_ROUNDS;
	if (row->tear_down)
		row->tear_down();
	restore(blocked);
	bench_print(row->name);
	if (before)
		print("BENCH-COUNTS %s answered=%u\n", row->name, before);
}

/* Terminates the first word of names, and returns the rest. */
static char *next_word(char *names)
{
	while (*names && *names != ' ')
		names++;
	while (*names == ' ')
		*names++ = 0;
	return names;
}

static const struct bench_row *find(const char *name)
{
	static const struct bench_row *const tables[] = { bench_calls, bench_traps, bench_directories };
	for (u32 i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		for (const struct bench_row *row = tables[i]; row->name; row++) {
			if (text_equal(row->name, name))
				return row;
		}
	}
	return NULL;
}

static void run_all(const struct bench_row *table)
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
		const struct bench_row *row = find(names);
		if (row)
			run(row);
		else
			print("no bench %s\n", names);
	}
	print("BENCH done\n");
}
