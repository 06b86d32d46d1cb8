/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inject an exception or an interrupt as the CPU would deliver it: switch to the kernel's stack if the Guest was in ring 3,
 * push the frame, continue at the handler.  Source: Intel SDM vol. 3, 6.12.
 * Read before: gates.c.  Read next: interrupts.c.
 * Next in the book: interrupts.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/memory/guest_virtual.h"

#define GATE_P         0x800000000000ull
#define GATE_TRAP      0x10000000000ull /* set in a trap gate, clear in an interrupt gate */

bool has_handler(u32 vector)
{
	return guest.idt[vector] & GATE_P;
}

/*
 * The frame has the error code of a vector with one, eip, cs, eflags, and from a program esp and ss too.  In the eflags stands
 * the Guest's virtual interrupt flag, for the real one is always set.
 */
void inject(u32 vector, u32 error)
{
	struct registers *regs = guest.regs;
	u64 gate = guest.idt[vector];
	bool from_program = (regs->ss & 3) != 1, with_error = pushes_error(vector);
	u32 count = 3 + 2 * from_program + with_error, stack = regs->esp, pushed[6], *frame, *next;

	if (from_program)
		stack = state->guest_tss.esp1;
	stack -= count * 4;
	/* The kernel's stack is pinned, so mostly this needs no walk. */
	frame = stack % PAGE_BYTES <= PAGE_BYTES - sizeof(pushed) ? (u32 *)shadow_lookup(stack, true) : NULL;
	next = frame ? frame : pushed;
	if (with_error)
		*next++ = error;
	*next++ = regs->eip;
	*next++ = regs->cs;
	*next++ = (regs->eflags & ~EFLAGS_IF) | interrupts_flag();
	if (from_program) {
		*next++ = regs->esp;
		*next++ = regs->ss;
		regs->ss = state->guest_tss.ss1;
	}
	regs->esp = stack;
	if (!frame)
		guest_write(stack, pushed, count * 4);
	regs->eflags &= ~(EFLAGS_TF | EFLAGS_VM | EFLAGS_RF | EFLAGS_NT);
	regs->cs = GUEST_CS;
	regs->eip = ((gate >> 32) & 0xFFFF0000) | (gate & 0xFFFF);
	if (!(gate & GATE_TRAP))
		interrupts_disable();
}
