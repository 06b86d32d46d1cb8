/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One world switch, to the Guest and back, with its record.  Read next: switcher/lean.S.
 * Next in the book: switcher/switcher.S.
 */
#ifndef HOST_KERNEL_MACHINE_WORLD_SWITCH_H
#define HOST_KERNEL_MACHINE_WORLD_SWITCH_H
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/guest.h"

#define FLAGS_CLEARED (EFLAGS_IOPL | EFLAGS_VM | EFLAGS_VIF | EFLAGS_VIP)
#define SPECIAL_FLAGS (FLAGS_CLEARED | EFLAGS_TF)
#define FRAME_ADDRESS (SWITCHER_STACK_PAGE + PAGE_BYTES - sizeof(struct registers))

/* The frame is at another address than the Guest's: the Guest's fault (misplaced_frame.c). */
void misplaced_frame(const struct registers *at) __attribute__((noreturn));

/* Record an exit for the report, which shows the last 64. */
static inline __attribute__((always_inline)) void record_switch(void)
{
	const struct registers *regs = guest.regs;
	struct switch_record *last = &mailbox->last[mailbox->switch_head++ % SWITCH_RECORDS];

	/* Single assignments: a compound literal is built on the stack first, and every world switch runs this. */
	last->tsc = rdtsc();
	last->trapnum = regs->trapnum;
	last->errcode = regs->errcode;
	last->cs = regs->cs;
	last->eip = regs->eip;
	last->eax = regs->eax;
	last->cr2 = guest.cr2;
	mailbox->by_vector[regs->trapnum % IDT_ENTRIES]++;
	mailbox->rings_seen |= 1u << (regs->cs & 3);
}

/* The Guest's registers and the Switcher's state are ready. */
static inline void switch_worlds(void)
{
	u32 frame;

	if (!mailbox->switches++)
		mailbox->guest_tsc = rdtsc();
	frame = world_switch();
	if (frame != FRAME_ADDRESS)
		misplaced_frame((const struct registers *)frame);
	if (guest.regs->trapnum == TRAP_PAGE_FAULT)
		guest.cr2 = read_cr2();
	record_switch();
}

#endif
