/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The null hypercall through the Host kernel's run loop, without additions to its path: the Guest measures the time itself,
 * and the benchmark continues when it halts.
 * Read before: host_kernel/core/run.c.  Read next: walks.c, trace.c.
 */
#include "host_kernel/bench/bench.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/personality.h"

#define WALKS_ROUND 16 /* of the 64 calls of stub_counted */
#define TRACE_ROUND 32

static u32 round, walks;

/* Before each entry during counting: one hypercall lies between two entries. */
static void before_entry(void)
{
	lguest_personality.before_entry();
	switch (round++) {
	case WALKS_ROUND:
		walks_begin();
		break;
	case WALKS_ROUND + 1:
		walks = walks_end();
		break;
	case TRACE_ROUND:
		trace_begin();
		break;
	case TRACE_ROUND + 1:
		print_counts("hypercall-bare", trace_end(), walks);
		break;
	}
}

static void counting_done(void)
{
	print("BENCH done\n");
	end_guest(END_POWER_OFF, "Power down");
}

/* The Guest has taken its samples. */
static void measurement_done(void)
{
	struct untrusted *shown = (struct untrusted *)SWITCHER_STACK_PAGE;

	bench_begin();
	bench_add_warmed(stub_samples());
	bench_print("hypercall-bare");
	if (shown->fast_paths >= BENCH_ROUNDS) /* a fast path: no world switch to count */
		print("BENCH-COUNTS hypercall-bare answered=%u\n", shown->fast_paths / BENCH_ROUNDS);
	personality.before_entry = before_entry;
	personality.asleep = counting_done;
	guest.halted = false;
	guest.regs->eip = in_guest(stub_counted);
	run_loop();
}

void calls_rows(void)
{
	personality = lguest_personality;
	personality.asleep = measurement_done;
	guest.regs->eip = in_guest(stub_calls);
	run_loop();
}
