/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDT. Gates of a program's traps that need no Host are loaded into the processor's IDT: those traps enter ring 1
 * directly.
 *
 * Read next: frame.h; guest_kernel/traps/traps.c for the handlers.
 * Next in the book: frame.h.
 */
#include "guest_kernel/cpu/idt.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

void idt_set_gate_async(u32 vector, const void *handler, u32 type_and_dpl)
{
	u32 offset = (u32)handler;
	hypercall_async(LHCALL_LOAD_IDT_ENTRY, vector, GUEST_CS << 16 | (offset & 0xFFFF),
			(offset & 0xFFFF0000) | type_and_dpl << 8, 0);
}

void idt_set_gate(u32 vector, const void *handler, u32 type_and_dpl)
{
	idt_set_gate_async(vector, handler, type_and_dpl);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}
