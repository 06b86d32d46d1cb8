/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The null world switch: from the Host kernel to an `int` in ring 1 and back; and its lower bound, the time of int and iret
 * between rings 1 and 0 with two loads of CR3.
 * Read before: bench.h.  Read next: switcher/switcher.S, calls.c.
 */
#include "host_kernel/bench/bench.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/print.h"
#include "host_kernel/core/run.h"
#include "host_kernel/machine/world_switch.h"
#include "host_kernel/machine/tables.h"
#include "host_kernel/memory/fault.h"
#include "host_kernel/memory/paging.h"

#define GUEST_KERNEL 0xC0000000

static u8 code[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
static u8 words[WORDS_PAGES + 1][PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

static u32 *switcher_table(u32 directory)
{
	return (u32 *)(((u32 *)directory)[SWITCHER_BASE >> 22] & ~(PAGE_BYTES - 1));
}

static void map(u32 directory)
{
	u32 *table = switcher_table(directory) + BENCH_INDEX;

	table[0] = (u32)code | PTE_P | PTE_A;
	for (u32 page = 0; page <= WORDS_PAGES; page++)
		table[1 + page] = (u32)words[page] | PTE_P | PTE_RW | PTE_A | PTE_D;
}

void world_init(void)
{
	struct lguest_data *data = (struct lguest_data *)(machine.guest_base + STUB_DATA);
	u16 *ints = (u16 *)(machine.guest_base + STUB_INTS);

	memcpy(code, common_start, common_end - common_start);
	map(state->host_cr3);
	map(state->guest_cr3);
	memcpy((void *)(machine.guest_base + STUB_CODE), stub_start, stub_end - stub_start);
	for (u32 index = 0; index < PAGE_BYTES / 2; index++)
		ints[index] = 0xCD | HYPERCALL_VECTOR << 8;
	memset(data->hcall_status, HCALL_FREE, sizeof(data->hcall_status));
	data->kernel_address = GUEST_KERNEL;
}

static void check(u32 frame)
{
	if (frame != FRAME_ADDRESS)
		misplaced_frame((const struct registers *)frame);
}

/* Run the Guest until its next hypercall. */
void guest_runs(u32 eip)
{
	u32 error;

	guest.regs->eip = eip;
	do {
		check(world_switch());
		if (guest.regs->trapnum == TRAP_PAGE_FAULT && demand_page(read_cr2(), guest.regs->errcode, &error) != FAULT_FILLED)
			host_failed("the stub faults at %#x", read_cr2());
	} while (guest.regs->trapnum != HYPERCALL_VECTOR);
}

/* Prepare the registers for the next round, as run.c does. */
static void again(void)
{
	guest.regs->eip = STUB_INTS;
	guest.regs->trapnum = TRAP_NONE;
}

void world_row(void)
{
	u32 walks;

	guest_runs(STUB_INTS);
	bench_begin();
	for (u32 round = 0; round < BENCH_ROUNDS;) {
		u32 took;

		again();
		took = BENCH_TIMED(world_switch());
		if (guest.regs->trapnum != HYPERCALL_VECTOR)
			continue; /* an interrupt of the Launcher, which has read text */
		if (round++ >= BENCH_WARM)
			bench_add(took);
	}
	bench_print("null-switch");
	guest_runs(STUB_INTS);
	again();
	walks_begin();
	world_switch();
	walks = walks_end();
	again();
	trace_begin();
	world_switch();
	print_counts("null-switch", trace_end(), walks);
}

void floor_row(void)
{
	state->idt[FLOOR_VECTOR] = gate_to(in_common(common_floor), 1);
	guest_runs(in_guest(stub_floor));
	bench_begin();
	bench_add_warmed(stub_samples());
	bench_print("floor");
}
