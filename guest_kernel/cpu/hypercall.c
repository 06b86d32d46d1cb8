/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page of facts that we share with the Host, and the ring of asynchronous hypercalls in it.
 *
 * Read next: interrupts.c.
 */
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/cpu/traps.h"

volatile struct lguest_data lguest_data = {
	.irq_enabled = 0,
	.blocked_interrupts = 1, /* the clock, until clock_init() */
	.hcall_status = { [0 ... HCALL_RING - 1] = HCALL_FREE },
	.noirq_start = (u32)noirq_start,
	.noirq_end = (u32)noirq_end,
	.kernel_address = KERNEL_OFFSET,
	.syscall_vec = SYSTEM_CALL_VECTOR,
};

static u32 cursor; /* moves in step with the Host's */

u32 hypercall_ring_cursor(void)
{
	return cursor;
}

void hypercall_ring_skip(u32 entries)
{
	cursor = (cursor + entries) % HCALL_RING;
}

void hypercall_async(u32 nr, u32 arg1, u32 arg2, u32 arg3, u32 arg4)
{
	u32 flags = irq_save(); /* a handler may call too, and would take the same entry */
	if (lguest_data.hcall_status[cursor] != HCALL_FREE) {
		hypercall(nr, arg1, arg2, arg3, arg4);
	} else {
		volatile struct hypercall_entry *entry = &lguest_data.hcalls[cursor];
		entry->nr = nr;
		entry->arg1 = arg1;
		entry->arg2 = arg2;
		entry->arg3 = arg3;
		entry->arg4 = arg4;
		lguest_data.hcall_status[cursor] = 0;
		hypercall_ring_skip(1);
	}
	irq_restore(flags);
}
