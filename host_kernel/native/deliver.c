/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Give an unmodified kernel a trap or an interrupt, through the IDT in its own memory.
 * What is pushed looks as if the kernel ran in ring 0, so that its iret comes to us.  Source: Intel SDM vol. 3, 6.12.
 * Read next: iret.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/base/end.h"
#include "host_kernel/memory/guest_virtual.h"

#define GATE_P      0x8000u
#define GATE_DPL    0x6000u
#define GATE_TYPE   0x1F00u
#define GATE_TASK   0x500u
#define GATE_INTERRUPT 0xE00u
#define GATE_TRAP   0xF00u
#define SYSTEM_CALL 0x80

static bool read_gate(u32 vector, u32 *low, u32 *high)
{
	u32 words[2];

	if (vector * 8 + 7 > native.idt_limit || !guest_try_read(words, native.idt_base + vector * 8, 8))
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
	if (!ldt_hides_code() && read_gate(SYSTEM_CALL, &low, &high) && (high & GATE_DPL) == GATE_DPL && (high & GATE_TYPE) == GATE_INTERRUPT &&
	    is_kernel_code(low >> 16))
		state->idt[SYSTEM_CALL] = (u64)high << 32 | (low | 1u << 16);
	else
		state->idt[SYSTEM_CALL] = (u64)((ours & 0xFFFF0000) | GATE_P | GATE_INTERRUPT) << 32 | HOST_CS << 16 | (ours & 0xFFFF);
}

/* An exception with no way to its handler.  With an empty IDT it is how a kernel restarts its machine. */
static void shut_down(u32 vector, u32 error) __attribute__((noreturn));
static void shut_down(u32 vector, u32 error)
{
	if (!native.idt_limit)
		end_guest(END_RESTART, "the Guest restarts by a triple fault");
	kill_guest("triple fault: no handler for vector %u (error code %#x, cr2 %#x, eip %#x)", vector, error, native.cr2,
		   guest.regs->eip);
}

void native_deliver(u32 vector, u32 error)
{
	struct registers *regs = guest.regs;
	u32 low, high, frame[6], count = 0, stack, base, eip = regs->eip;
	bool from_program = (regs->cs & RPL) == RPL;

	if (!read_gate(vector, &low, &high))
		shut_down(vector, error);
	if ((high & GATE_TYPE) == GATE_TASK)
		kill_guest("the Guest's double fault (error code %#x, cr2 %#x, eip %#x)", error, native.cr2, eip);
	if ((high & GATE_TYPE) != GATE_INTERRUPT && (high & GATE_TYPE) != GATE_TRAP)
		shut_down(vector, error);
	if (pushes_error(vector))
		frame[count++] = error;
	frame[count++] = eip;
	frame[count++] = from_program ? regs->cs : regs->cs & ~RPL;
	frame[count++] = regs->eflags & ~EFLAGS_RF;
	stack = regs->esp;
	if (from_program) {
		u32 ss0 = 0;

		frame[count++] = regs->esp;
		frame[count++] = regs->ss;
		if (!guest_try_read(&stack, native.tss_base + TSS_ESP0, 4) || !guest_try_read(&ss0, native.tss_base + TSS_SS0, 2))
			kill_guest("the Guest's TSS at %#x is not mapped", native.tss_base);
		regs->ss = (ss0 & ~RPL) | 1;
	}
	base = segment_base(regs->ss);
	regs->esp = stack - count * 4;
	if (!guest_try_write(base + regs->esp, frame, count * 4))
		kill_guest("double fault: vector %u (cr2 %#x, eip %#x), and no stack at %#x to push it to", vector, native.cr2,
			   eip, base + regs->esp);
	regs->cs = (low >> 16 & ~RPL) | 1;
	regs->eip = (high & 0xFFFF0000) | (low & 0xFFFF);
	regs->eflags &= ~(EFLAGS_TF | EFLAGS_VM | EFLAGS_RF | EFLAGS_NT);
	if ((high & GATE_TYPE) == GATE_INTERRUPT)
		regs->eflags &= ~EFLAGS_IF;
}

void native_page_fault(u32 address, u32 error)
{
	native.cr2 = address;
	native_deliver(TRAP_PAGE_FAULT, error);
}
