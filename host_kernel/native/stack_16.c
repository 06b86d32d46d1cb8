/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The return to a program with a 16-bit stack.  An iret to such a stack sets only sp: the upper half of esp stays as it was
 * in ring 0, and the program would lose its own.  So the Switcher first goes to ring 0 again, there to a stack segment with
 * such a base that esp already has the program's upper half, and from there to the program.
 *
 * It is done from the Host kernel, in place of an ordinary world switch and for these programs only.  The second frame is
 * on the stack page, which is written here right before its use.
 * Source: Intel SDM vol. 2, IRET.  Read before: segments.c.  Read next: switcher/lean.S.
 */
#include <stddef.h>
#include "host_kernel/native/native.h"

#define FRAME (SWITCHER_STACK_PAGE + 0x200)
#define UPPER 0xFFFF0000u
#define DATA_RING_0 0x00CF93000000FFFFull /* flat, and accessed */

static u32 (*ordinary_switch)(void); /* NULL: world_switch is that */

static u32 switch_to_stack_16(void)
{
	struct registers *regs = guest.regs;
	u32 *frame = (u32 *)FRAME, base = (FRAME & UPPER) - (regs->esp & UPPER);

	frame[0] = regs->eip;
	frame[1] = regs->cs;
	frame[2] = regs->eflags;
	frame[3] = regs->esp;
	frame[4] = regs->ss;
	state->gdt_user[GDT_STACK_16] = DATA_RING_0 | (u64)(base >> 24) << 56 | (u64)(base & 0xFFFFFF) << 16;
	state->stack_16 = (regs->esp & UPPER) | (FRAME & ~UPPER);
	state->stack_16_selector = GDT_STACK_16 * 8;
	regs->eip = switcher_return_16;
	regs->cs = HOST_CS;
	regs->eflags = EFLAGS_FIXED;
	return ordinary_switch();
}

void choose_stack_16(bool wanted)
{
	if (wanted && !ordinary_switch) {
		ordinary_switch = world_switch;
		world_switch = switch_to_stack_16;
	} else if (!wanted && ordinary_switch) {
		world_switch = ordinary_switch;
		ordinary_switch = NULL;
	}
}
