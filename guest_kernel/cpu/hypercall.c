/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lguest_data, as the Host reads it at LHCALL_LGUEST_INIT.
 *
 * Read next: interrupts.c.
 * Next in the book: hypercall_ring.c.
 */
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/base/layout.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

volatile struct lguest_data lguest_data = {
	.irq_enabled = 0,
	.blocked_interrupts = 1, /* the clock, until it has a handler */
	.hcall_status = { [0 ... HCALL_RING - 1] = HCALL_FREE },
	.noirq_start = (u32)noirq_start,
	.noirq_end = (u32)noirq_end,
	.kernel_address = KERNEL_OFFSET,
	.syscall_vec = SYSTEM_CALL_VECTOR,
};
