/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One world switch, to the Guest and back, with its record.  Read next: switcher/lean.S. */
#ifndef HOST_KERNEL_MACHINE_WORLD_SWITCH_H
#define HOST_KERNEL_MACHINE_WORLD_SWITCH_H
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/machine/mailbox.h"

#define FLAGS_CLEARED (EFLAGS_IOPL | EFLAGS_VM | EFLAGS_VIF | EFLAGS_VIP)
#define SPECIAL_FLAGS (FLAGS_CLEARED | EFLAGS_TF)
#define FRAME_ADDRESS (SWITCHER_STACK_PAGE + PAGE_BYTES - sizeof(struct registers))

/* The frame is at another address than the Guest's: the Guest's fault (misplaced_frame.c). */
void misplaced_frame(const struct registers *at) __attribute__((noreturn));

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
	mailbox_record_switch();
}

#endif
