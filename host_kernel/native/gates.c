/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDT in an unmodified kernel's memory, and its gates that the CPU and the Switcher use directly.  Read next: inject.c.
 * Next in the book: inject.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/memory/guest_virtual.h"

#define SYSTEM_CALL 0x80

/* Also one that is not present. */
static bool find_gate(u32 vector, u32 *low, u32 *high)
{
	u32 words[2];

	if (vector * GATE_BYTES + GATE_BYTES - 1 > native.idt_limit ||
	    !guest_try_read(words, native.idt_base + vector * GATE_BYTES, GATE_BYTES))
		return false;
	*low = words[0];
	*high = words[1];
	return true;
}

bool read_gate(u32 vector, u32 *low, u32 *high)
{
	return find_gate(vector, low, high) && (*high & GATE_P);
}

/* May a program raise this vector by an instruction?  Whether the gate is present is the next question. */
bool gate_for_programs(u32 vector)
{
	u32 low, high;

	return find_gate(vector, &low, &high) && (high & GATE_DPL) == GATE_DPL;
}

/* The kernel's own gate for page faults. */
static void learn_page_fault_handler(void)
{
	u32 low, high;

	native.page_fault_handler = 0;
	if (read_gate(TRAP_PAGE_FAULT, &low, &high) && (high & GATE_TYPE) == GATE_INTERRUPT && is_kernel_code(low >> 16)) {
		native.page_fault_handler = (high & 0xFFFF0000) | (low & 0xFFFF);
		state->native_handler_cs = (low >> 16 & ~RPL) | 1;
	}
	reflect_allow();
}

/*
 * A system call goes directly from a program to its kernel.  A vector that ring 1 raises (a breakpoint) cannot: its frame
 * would hold RPL 1, so the return from it would not fault.
 */
void idt_sync(void)
{
	u32 low, high, to_switcher = switcher_entries[SYSTEM_CALL];

	learn_page_fault_handler();

	/* The selector is the Guest's: a Host selector would be ring 0. */
	if (!ldt_hides_code() && !native.page_unprotected && read_gate(SYSTEM_CALL, &low, &high) &&
	    (high & GATE_DPL) == GATE_DPL && (high & GATE_TYPE) == GATE_INTERRUPT && is_kernel_code(low >> 16))
		state->idt[SYSTEM_CALL] = (u64)high << 32 | (low | 1u << 16);
	else
		state->idt[SYSTEM_CALL] = (u64)((to_switcher & 0xFFFF0000) | GATE_P | GATE_INTERRUPT) << 32 | HOST_CS << 16 | (to_switcher & 0xFFFF);
}
