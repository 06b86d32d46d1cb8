/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Give an unmodified kernel a trap or an interrupt, through the IDT in its own memory.
 * What is pushed looks as if the kernel ran in ring 0, so that its iret comes to us.  Source: Intel SDM vol. 3, 6.12.
 * Read next: triple.c for what follows when that fails; iret.c.
 */
#include "host_kernel/native/native.h"

#define GATE_P      0x8000u
#define GATE_DPL    0x6000u
#define GATE_TYPE   0x1F00u
#define GATE_TASK   0x500u
#define GATE_INTERRUPT 0xE00u
#define GATE_TRAP   0xF00u
#define GATE_BYTES 8u
#define SYSTEM_CALL 0x80

static bool read_gate(u32 vector, u32 *low, u32 *high)
{
	u32 words[2];

	if (vector * GATE_BYTES + GATE_BYTES - 1 > native.idt_limit ||
	    !guest_try_read(words, native.idt_base + vector * GATE_BYTES, GATE_BYTES))
		return false;
	*low = words[0];
	*high = words[1];
	return *high & GATE_P;
}

/* May a program call this vector by an instruction? */
bool gate_for_programs(u32 vector)
{
	u32 low, high;

	return read_gate(vector, &low, &high) && (high & GATE_DPL) == GATE_DPL;
}

/*
 * A system call goes straight from a program to its kernel.  Not so what ring 1 may raise itself (breakpoints): its
 * frame would hold the real CPL, and the return from it would not come to us.
 */
void idt_sync(void)
{
	u32 low, high, ours = switcher_entries[SYSTEM_CALL];

	/* The selector is the Guest's: ours would be ring 0. */
	if (!ldt_hides_code() && !native.page_open && read_gate(SYSTEM_CALL, &low, &high) && (high & GATE_DPL) == GATE_DPL && (high & GATE_TYPE) == GATE_INTERRUPT &&
	    is_kernel_code(low >> 16))
		state->idt[SYSTEM_CALL] = (u64)high << 32 | (low | 1u << 16);
	else
		state->idt[SYSTEM_CALL] = (u64)((ours & 0xFFFF0000) | GATE_P | GATE_INTERRUPT) << 32 | HOST_CS << 16 | (ours & 0xFFFF);
}

/* Why read_gate() found none. */
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

/* Do what the CPU does for one exception or interrupt; nothing of the Guest has changed unless this returns 0. */
u32 deliver_once(u32 vector, u32 error, u32 length, u32 *where)
{
	struct registers *regs = guest.regs;
	u32 low, high, frame[6], count = 0, stack, ss, base;
	bool from_program = (regs->cs & RPL) == RPL;

	if (!read_gate(vector, &low, &high))
		return no_gate(vector, where);
	if ((high & GATE_TYPE) == GATE_TASK)
		kill_guest("vector %u (error code %#x, cr2 %#x, eip %#x) leads to a task gate, and there are no task switches",
			   vector, error, native.cr2, regs->eip);
	if ((high & GATE_TYPE) != GATE_INTERRUPT && (high & GATE_TYPE) != GATE_TRAP)
		return FAILED_GATE_TYPE;
	if (pushes_error(vector))
		frame[count++] = error;
	frame[count++] = regs->eip + length;
	frame[count++] = from_program ? regs->cs : regs->cs & ~RPL;
	frame[count++] = regs->eflags & ~EFLAGS_RF;
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

void native_deliver(u32 vector, u32 error)
{
	u32 where = 0, failed = deliver_once(vector, error, 0, &where);

	if (failed)
		deliver_failed(vector, error, failed, where, false);
}

/*
 * `int n` and int3, of so many bytes: a trap, so that the next instruction is what it returns to.  An int of the kernel's
 * with an IDT that it has emptied itself is how a kernel restarts a machine when all else failed.
 */
void native_software_interrupt(u32 vector, u32 length)
{
	u32 where = 0, failed = deliver_once(vector, 0, length, &where);

	if (!failed)
		return;
	if (native.idt_loaded && native.idt_limit < GATE_BYTES - 1 && (guest.regs->cs & RPL) != RPL)
		end_guest(END_RESTART, "by a triple fault of its own making (an empty IDT, then int)");
	deliver_failed(vector, 0, failed, where, true);
}

void native_page_fault(u32 address, u32 error)
{
	native.cr2 = address;
	native_deliver(TRAP_PAGE_FAULT, error);
}
