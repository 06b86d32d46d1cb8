/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows of calls: synchronous and asynchronous hypercalls, a call to the Launcher, and system calls.
 *
 * Read next: bench_traps.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/bench/bench_handlers.h"
#include "guest_kernel/bench/bench_program.h"
#include "guest_kernel/bench/bench_row.h"
#include "guest_kernel/bench/bench_samples.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/cpu/idt.h"
#include "guest_kernel/user/programs.h"
#include "guest_kernel/user/user.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

static u32 null_call(u32 round)
{
	(void)round;
	return BENCH_TIMED(hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0));
}

/* One that has no fast path in the Switcher. */
static u32 null_switch(u32 round)
{
	(void)round;
	return BENCH_TIMED(hypercall(LHCALL_SEND_INTERRUPTS, 0, 0, 0, 0));
}

/* Queued hypercalls that do nothing, and the synchronous one at which the Host drains the ring. */
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

/* A doorbell and the Launcher's answer: NOTIFY of a device descriptor, or a register on PCI. */
static u32 doorbell(u32 round)
{
	struct virtio_device *console = console_device();
	(void)round;
	return console ? BENCH_TIMED(virtio_broken(console)) : 0;
}

static USER_CODE void program_calls(u32 argument)
{
	u32 *samples = (u32 *)BENCH_PAGES;
	(void)argument;
	for (u32 round = 0; round < BENCH_ROUNDS; round++)
		samples[round] = BENCH_TIMED(user_call(BENCH_CALL, 0, 0));
	user_exit(PROGRAM_OK);
}

static void system_calls(void)
{
	bench_program(program_calls, (struct bench_gate){ SYSTEM_CALL_VECTOR, bench_system_call, GATE_TRAP | GATE_DPL3 });
}

const struct bench_row bench_calls[] = {
	{ .name = "hypercall", .once = null_call },
	{ .name = "hypercall-switch", .once = null_switch },
	{ .name = "ring-1", .once = ring_alone },
	{ .name = "ring-64", .once = ring_batch },
	{ .name = "system-call", .all = system_calls },
	{ .name = "doorbell", .once = doorbell },
	{ .name = NULL },
};
