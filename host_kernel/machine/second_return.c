/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The return to the Guest by a second frame: the Switcher's iret leads to ring 0, to a few more instructions of its own, and
 * their iret to the Guest.  It takes the place of an ordinary world switch, and only where it is needed:
 *
 * - With breakpoints of the Guest.  DR7 is set in the Guest's page tables, on the Switcher's pages, where none can be hit.
 * - For a program with a 16-bit stack.  An iret to it sets only sp: the upper half of esp stays as it was in ring 0, and the
 *   program would lose its own.  The second frame is on a stack segment with such a base that esp already has that half.
 *
 * The frame is on the stack page.  Ring 1 can write there, but it is written here right before its use.
 * Source: Intel SDM vol. 2, IRET.  Read before: host_kernel/core/run.c.  Read next: switcher/lean.S, debug_registers.c.
 * Next in the book: misplaced_frame.c.
 */
#include <stddef.h>
#include "host_kernel/machine/second_return.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/descriptor.h"
#include "host_kernel/base/guest.h"

#define SECOND_FRAME (SWITCHER_STACK_PAGE + 0x200)
#define UPPER 0xFFFF0000u

static u32 reasons;
static u32 (*ordinary_switch)(void); /* while there is a reason */

static u32 switch_by_second_frame(void)
{
	struct registers *regs = guest.regs;
	u32 *frame = (u32 *)SECOND_FRAME, base = 0;

	frame[0] = regs->eip;
	frame[1] = regs->cs;
	frame[2] = regs->eflags;
	frame[3] = regs->esp;
	frame[4] = regs->ss;
	if (reasons & RETURN_STACK_16)
		base = (SECOND_FRAME & UPPER) - (regs->esp & UPPER);
	state->gdt[GDT_RETURN] = state->gdt_user[GDT_RETURN] =
		DATA_RING_0 | (u64)(base >> 24) << 56 | (u64)(base & 0xFFFFFF) << 16;
	state->return_esp = SECOND_FRAME - base;
	state->return_ss = GDT_RETURN * 8;
	regs->eip = switcher_return;
	regs->cs = HOST_CS;
	regs->eflags = EFLAGS_FIXED;
	return ordinary_switch();
}

/* What it replaced in the Guest's registers, for the report on a world switch that failed. */
void second_return_undo(void)
{
	struct registers *regs = guest.regs;
	const u32 *frame = (const u32 *)SECOND_FRAME;

	if (!reasons)
		return;
	regs->eip = frame[0];
	regs->cs = frame[1];
	regs->eflags = frame[2];
}

void second_return(u32 reason, bool wanted)
{
	if (wanted && !reasons) {
		ordinary_switch = world_switch;
		world_switch = switch_by_second_frame;
	}
	if (!wanted && reasons && !(reasons & ~reason))
		world_switch = ordinary_switch;
	reasons = wanted ? reasons | reason : reasons & ~reason;
}

/* Where the run loop, by way of a second frame or not, enters a Switcher by "from", let it do so by "to". */
void second_return_exchange(u32 (*from)(void), u32 (*to)(void))
{
	if (world_switch == from)
		world_switch = to;
	else if (reasons && ordinary_switch == from)
		ordinary_switch = to;
}
