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

/* Whether what stands here loads what the Guest chose: a pop of ds, es, fs or gs, or an iret. */
static inline __attribute__((cold)) bool loads_guest_state(const u8 *code)
{
	return *code == 0x1F || *code == 0x07 || *code == 0xCF || (*code == 0x0F && (code[1] == 0xA1 || code[1] == 0xA9));
}

/*
 * The frame is at another address than the Guest's: the Switcher faulted.  Where it loads the Guest's selectors and flags
 * that is the Guest's doing; anywhere else it is a fault of ours.
 */
static inline __attribute__((noreturn, cold)) void switcher_faulted(const struct registers *at)
{
	if (at->eflags & EFLAGS_VM)
		kill_guest("the Guest entered virtual-8086 mode, which ring 1 does not have");
	if (at->eip < SWITCHER_BASE || at->eip >= SWITCHER_BASE + PAGE_BYTES || !loads_guest_state((const u8 *)at->eip))
		host_exception(at);
	kill_guest("fault %u (error code %#x) restoring the Guest's segments", at->trapnum, at->errcode);
}

/* The Guest's registers and the Switcher's state are ready. */
static inline void switch_worlds(void)
{
	u32 frame;

	if (!mailbox->switches++)
		mailbox->guest_tsc = rdtsc();
	frame = world_switch();
	if (frame != FRAME_ADDRESS)
		switcher_faulted((const struct registers *)frame);
	if (guest.regs->trapnum == TRAP_PAGE_FAULT)
		guest.cr2 = read_cr2();
	mailbox_record_switch();
}

#endif
