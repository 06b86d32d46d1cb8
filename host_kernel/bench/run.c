/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run() of the benchmark, in place of the Host kernel's.
 * Read before: host_kernel/core/main.c, loop.c.  Read next: world.c.
 */
#include "host_kernel/bench/bench.h"
#include "host_kernel/core/run.h"
#include "host_kernel/memory/guest_physical.h"

static void clock_row(void)
{
	bench_begin();
	for (u32 round = 0; round < BENCH_ROUNDS; round++) {
		u32 took = BENCH_TIMED();

		if (round >= BENCH_WARM)
			bench_add(took);
	}
	bench_print("clock");
}

/* The benchmark's command line: "wall" asks for the rows about exits from the machine, on KVM. */
static bool wanted_wall(void)
{
	u32 line = *(u32 *)(machine.guest_base + BOOT_PARAMS_CMDLINE);

	return *(const u8 *)guest_physical(line, 1, "the command line") == 'w';
}

void run(void)
{
	clock_row();
	if (wanted_wall())
		wall_rows();
	steps_rows();
	world_init();
	world_row();
	floor_row();
	calls_rows();
}
