/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inject an exception or an interrupt into an unmodified kernel, through the IDT in its own memory.
 * The selectors that are pushed have RPL 0, as if the kernel ran in ring 0, so that its iret faults and is emulated.
 * Source: Intel SDM vol. 3, 6.12.
 * Read next: exceptions.c.
 * Next in the book: exceptions.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/base/end.h"
#include "host_kernel/memory/guest_virtual.h"

/* The reason why read_gate() failed. */
static u32 __attribute__((noinline)) no_gate(u32 vector, u32 *where)
{
	u32 gate = native.idt_base + vector * GATE_BYTES, words[2];

	if (vector * GATE_BYTES + GATE_BYTES - 1 > native.idt_limit)
		return FAILED_IDT_LIMIT;
	if (guest_try_read(words, gate, GATE_BYTES))
		return FAILED_NOT_PRESENT;
	*where = gate;
	return FAILED_IDT_PAGE;
}

/*
 * Deliver one exception or interrupt as the CPU does.  Returns 0 or FAILED_*; after a failure nothing has changed.
 *
 * A kernel that is on a stack segment with a base (Linux, for the iret to a program with a 16-bit stack) would look for its
 * selector with RPL 0 to find that out, and it has RPL 1.  So its handler gets the flat segment, and the same stack.
 */
u32 inject_once(u32 vector, u32 error, u32 length, u32 *where)
{
	struct registers *regs = guest.regs;
	u32 low, high, frame[6], count = 0, stack, ss, base;
	bool from_program = (regs->cs & RPL) == RPL;

	if (!read_gate(vector, &low, &high))
		return no_gate(vector, where);
	if ((high & GATE_TYPE) == GATE_TASK)
		kill_guest("vector %u (error code %#x, cr2 %#x, eip %#x) leads to a task gate, and there are no task switches",
			   vector, error, untrusted->guest_cr2, regs->eip);
	if ((high & GATE_TYPE) != GATE_INTERRUPT && (high & GATE_TYPE) != GATE_TRAP)
		return FAILED_GATE_TYPE;
	if (pushes_error(vector) && !length)
		frame[count++] = error;
	frame[count++] = regs->eip + length;
	frame[count++] = from_program ? regs->cs : regs->cs & ~RPL;
	frame[count++] = length || vector == TRAP_DEBUG ? regs->eflags & ~EFLAGS_RF : regs->eflags; /* RF as after a fault */
	stack = regs->esp;
	ss = regs->ss;
	if (from_program) {
		u32 ss0 = 0;

		frame[count++] = regs->esp;
		frame[count++] = regs->ss;
		if (!guest_try_read(&stack, native.tss_base + TSS_ESP0, 4) || !guest_try_read(&ss0, native.tss_base + TSS_SS0, 2)) {
			*where = native.tss_base + TSS_ESP0;
			return FAILED_TSS;
		}
		ss = (ss0 & ~RPL) | 1;
	}
	base = segment_base(ss);
	if (base && !from_program && state->kernel_ss && !segment_base(state->kernel_ss)) {
		stack += base;
		ss = state->kernel_ss;
		base = 0;
	}
	stack -= count * 4;
	if (!guest_try_write(base + stack, frame, count * 4)) {
		*where = base + stack;
		return FAILED_STACK;
	}
	regs->ss = ss;
	regs->esp = stack;
	regs->cs = (low >> 16 & ~RPL) | 1;
	regs->eip = (high & 0xFFFF0000) | (low & 0xFFFF);
	regs->eflags &= ~(EFLAGS_TF | EFLAGS_VM | EFLAGS_RF | EFLAGS_NT);
	if ((high & GATE_TYPE) == GATE_INTERRUPT)
		regs->eflags &= ~EFLAGS_IF;
	return 0;
}
