/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One instruction of the Guest for gdb, by the trap flag.  An instruction that faults is emulated, or runs again when the page
 * is there, or its fault is the Guest's and the step ends at the handler.  The Guest does not see the flag: pushf is mended,
 * and what an int pushes is pushed by the Host kernel.  A Guest that sets the flag itself keeps it.
 * Read before: debugger.c.
 */
#include "host_kernel/debugger/debugger.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/instruction/instruction.h"
#include "host_kernel/machine/tables.h"
#include "host_kernel/memory/guest_virtual.h"

#define PUSHF 0x9C
#define POPF  0x9D
#define INT_N 0xCD
#define IRET  0xCF
#define TF_IN_BYTE_1 (EFLAGS_TF >> 8)

static u32 eip, cs, esp; /* before the instruction */
static u8 opcode;        /* its own, or 0 where it is of no matter */
static bool is_ours;     /* the trap flag is */
static u32 closed;       /* the gate of int n, which would lead from one ring of the Guest to another; 0: none */
static u64 gate;         /* what it was */

static void look(void)
{
	struct instruction instruction;
	u8 vector;

	opcode = 0;
	closed = 0;
	if (!decode(&instruction) || instruction.two_bytes)
		return;
	opcode = instruction.opcode;
	if (opcode == INT_N && next_byte(&instruction, &vector) && (state->idt[vector] >> 16 & 0xFFFF) != HOST_CS) {
		closed = vector;
		gate = state->idt[vector];
		guest_idt_to_switcher(vector, 0);
	}
}

/* Right before the Guest is entered. */
void step_prepare(void)
{
	struct registers *regs = guest.regs;

	no_fast_paths();
	state->page_fault_handler = 0; /* the next change of page directories sets it again */
	state->interrupt_pending = 1; /* or the Switcher would do some of it by itself; it is set again before the next entry */
	eip = regs->eip;
	cs = regs->cs;
	esp = regs->esp;
	look();
	is_ours = !(regs->eflags & EFLAGS_TF);
	regs->eflags |= EFLAGS_TF;
}

/* Right after its exit: did the instruction run?  step: there was a debug exception because of the trap flag. */
bool step_took(bool step)
{
	struct registers *regs = guest.regs;
	u32 flags = personality.segment_base(regs->ss) + regs->esp + 1;
	u8 byte;

	if (closed)
		state->idt[closed] = gate;
	if (!is_ours)
		return false;
	if (!step || (opcode != POPF && opcode != IRET)) /* these set it as the Guest wants */
		regs->eflags &= ~EFLAGS_TF;
	if (step && opcode == PUSHF && guest_try_read(&byte, flags, 1)) {
		byte &= ~TF_IN_BYTE_1;
		guest_try_write(flags, &byte, 1);
	}
	return step;
}

/* Did the gate of this vector lead nowhere for this instruction alone? */
bool step_closed(u32 vector)
{
	return closed && vector == closed;
}

/* After the trap was handled: was the instruction emulated, or is this a handler? */
bool step_is_done(void)
{
	const struct registers *regs = guest.regs;

	return regs->eip != eip || regs->cs != cs || regs->esp != esp;
}
