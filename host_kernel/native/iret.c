/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Emulation of iret and lret of an unmodified kernel.  Both fault in ring 1 (native.h).
 * Source: Intel SDM vol. 2, IRET, RET.  Read before: inject.c.
 * Next in the book: emulate.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/native/descriptors.h"
#include "host_kernel/machine/debug_registers.h"

#define FROM_FRAME (~(EFLAGS_IOPL | EFLAGS_VM | EFLAGS_VIF | EFLAGS_VIP))

/* The CPU decides by the flags before an instruction whether it is a step: the trap of a return comes where it leads. */
static void stepped(bool step)
{
	if (step)
		inject_debug(DR6_STEP);
}

/* The return itself faults: at its own address, with nothing popped. */
static bool faults(u32 vector, u32 error)
{
	native_inject(vector, error);
	return true;
}

static bool is_code(u32 selector, u32 ring, u32 *limit)
{
	u32 low, high;

	if (!read_descriptor(selector, &low, &high))
		return false;
	*limit = segment_limit(low, high);
	return (high & HIGH_P) && (high & HIGH_S) && (high & HIGH_CODE) && (high & HIGH_DPL) == (ring == 3 ? HIGH_DPL : 0);
}

bool emulate_iret(struct instruction *instruction)
{
	struct registers *regs = guest.regs;
	u32 frame[5], limit, at = segment_base(regs->ss) + regs->esp;
	bool step = regs->eflags & EFLAGS_TF;

	if (instruction->size != 4 || !operand_read(instruction, frame, at, 12))
		return false;
	if (frame[2] & EFLAGS_VM)
		return faults(TRAP_GENERAL, 0); /* virtual-8086 mode is not available in ring 1 */
	if ((frame[1] & RPL) != RPL) {
		if (native.gdt_limit) {
			if (!is_code(frame[1] & 0xFFFF, 0, &limit))
				return faults(TRAP_GENERAL, frame[1] & 0xFFFC);
			if (frame[0] > limit)
				return faults(TRAP_GENERAL, 0);
		}
		regs->esp += 12;
		regs->cs = (frame[1] & 0xFFFC) | 1;
	} else {
		if (!operand_read(instruction, frame + 3, at + 12, 8))
			return false;
		if (!is_code(frame[1] & 0xFFFF, 3, &limit))
			return faults(TRAP_GENERAL, frame[1] & 0xFFFC);
		if (!loadable(frame[4], true, 3) || (frame[4] & RPL) != RPL)
			return faults(TRAP_GENERAL, frame[4] & 0xFFFC);
		if (frame[0] > limit)
			return faults(TRAP_GENERAL, 0);
		regs->cs = frame[1] & 0xFFFF;
		regs->esp = frame[3];
		regs->ss = frame[4] & 0xFFFF;
		guest_not_idle();
	}
	regs->eip = frame[0];
	regs->eflags = (frame[2] & FROM_FRAME) | EFLAGS_FIXED;
	stepped(step);
	return true;
}

/* lret; it pops drop bytes more. */
bool emulate_far_return(struct instruction *instruction, u32 drop)
{
	struct registers *regs = guest.regs;
	u32 pointer[2], limit;

	if (instruction->size != 4 || !operand_read(instruction, pointer, segment_base(regs->ss) + regs->esp, 8))
		return false;
	gdt_sync();
	if ((pointer[1] & RPL) == RPL || !is_code(pointer[1] & 0xFFFF, 0, &limit))
		return false;
	regs->esp += 8 + (drop & 0xFFFF);
	regs->eip = pointer[0];
	regs->cs = (pointer[1] & 0xFFFC) | 1;
	stepped(regs->eflags & EFLAGS_TF);
	return true;
}
