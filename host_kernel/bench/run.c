/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the Host kernel would begin to run its Guest, it measures. Its own loop is here too, under another name: what
 * goes on in it while a Guest calls is measured as well.
 * Read before: host_kernel/core/main.c.  Read next: world.c.
 */
#define run run_loop
#include "host_kernel/core/run.c"
#undef run
#include "host_kernel/bench/bench.h"
#include "host_kernel/base/end.h"
#include "host_kernel/machine/tables.h"
#include "host_kernel/memory/guest_physical.h"

void run(void) __attribute__((noreturn));

/* The IDT that the Host kernel runs on, where it may write to it. */
u64 *host_gates(void)
{
	return is_lean() ? state->idt : (u64 *)state->host_idt.base;
}

void set_host_gate(u32 vector, u32 address)
{
	host_gates()[vector] = gate_to(address, 0);
}

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

/* The Guest's command line is ours: "wall" asks for the ways out of a machine on KVM. */
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

void ended(void)
{
	print("BENCH done\n");
	end_guest(END_POWER_OFF, "Power down");
}
