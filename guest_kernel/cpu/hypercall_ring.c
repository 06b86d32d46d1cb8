/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asynchronous hypercalls. The kernel and the Host each keep a cursor into the ring; both start at 0 and go round in
 * step, so neither has to be shared.
 * Next in the book: guest_kernel/main/main.c.
 */
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define HCALL_QUEUED 0

static u32 cursor;

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
	u32 flags = irq_save(); /* an interrupt handler may queue a hypercall too */
	if (lguest_data.hcall_status[cursor] != HCALL_FREE) {
		hypercall(nr, arg1, arg2, arg3, arg4);
	} else {
		volatile struct hypercall_entry *entry = &lguest_data.hcalls[cursor];
		entry->nr = nr;
		entry->arg1 = arg1;
		entry->arg2 = arg2;
		entry->arg3 = arg3;
		entry->arg4 = arg4;
		lguest_data.hcall_status[cursor] = HCALL_QUEUED;
		hypercall_ring_skip(1);
	}
	irq_restore(flags);
}
