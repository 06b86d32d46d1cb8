/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows of calls: to the Host, at once and through the ring; to the Launcher; and from a program to the kernel.
 *
 * Read next: bench_traps.c.
 */
#include "guest_kernel/bench/bench.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/console/print.h"
#include "guest_kernel/cpu/traps.h"
#include "guest_kernel/user/user.h"
#include "guest_kernel/console/virtio.h"

static u32 null_call(u32 round)
{
	(void)round;
	return BENCH_TIMED(hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0));
}

/* One that no Switcher answers by itself. */
static u32 null_switch(u32 round)
{
	(void)round;
	return BENCH_TIMED(hypercall(LHCALL_SEND_INTERRUPTS, 0, 0, 0, 0));
}

/* Entries that ask for nothing, and the call that has the Host drain them. */
static inline u32 through_ring(u32 entries)
{
	return BENCH_TIMED({
		for (u32 i = 0; i < entries; i++)
			hypercall_async(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
		hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	});
}

static u32 ring_alone(u32 round)
{
	(void)round;
	return through_ring(1);
}

static u32 ring_batch(u32 round)
{
	(void)round;
	return through_ring(HCALL_RING);
}

/* NOTIFY of the console's descriptor holds the Guest until the Launcher has looked at it. */
static u32 doorbell(u32 round)
{
	struct device *console = console_device();
	(void)round;
	return console ? BENCH_TIMED(hypercall(LHCALL_NOTIFY, console->address, 0, 0, 0)) : 0;
}

/* Where the program leaves its samples: a part of the kernel's image that it is given to write to. */
static u32 shared[BENCH_ROUNDS] __attribute__((aligned(4096)));
_Static_assert(sizeof(shared) <= PAGE, "one page");

USER_CODE void program_bench(u32 argument)
{
	u32 *samples = (u32 *)BENCH_PAGES;
	(void)argument;
	for (u32 round = 0; round < BENCH_ROUNDS; round++)
		samples[round] = BENCH_TIMED(system(BENCH_CALL, 0, 0));
	leave(PROGRAM_OK);
}

void bench_program(program *start, struct bench_gate gate)
{
	struct task *task = task_program("bench", start, 0);
	if (!task || !page_set(task->directory, BENCH_PAGES, physical(shared) | PTE_PRESENT | PTE_WRITE | PTE_USER)) {
		print("no room for a program\n");
		return;
	}
	trap_gate(gate.vector, gate.handler, gate.type_and_dpl);
	irq_enable();
	task_join(task);
	irq_disable();
	bench_add_warmed(shared);
}

static void system_calls(void)
{
	bench_program(program_bench, (struct bench_gate){ SYSTEM_CALL_VECTOR, bench_system_call, GATE_TRAP | GATE_DPL3 });
}

const struct bench bench_calls[] = {
	{ .name = "hypercall", .once = null_call },
	{ .name = "hypercall-switch", .once = null_switch },
	{ .name = "ring-1", .once = ring_alone },
	{ .name = "ring-64", .once = ring_batch },
	{ .name = "system-call", .all = system_calls },
	{ .name = "doorbell", .once = doorbell },
	{ .name = NULL },
};
