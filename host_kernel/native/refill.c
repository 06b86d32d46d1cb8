/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The most frequent exit of a program is a page fault that only the shadow page tables cause.  To fill them changes nothing
 * that the run loop looks at: no interrupt becomes pending, and the clock, the descriptors and the segments are as they
 * were.  So the program is entered again at once.  A load of CR3 makes each page that the Host kernel touches expensive.
 * Read before: personality.c.  Read next: host_kernel/memory/fault.c.
 * Next in the book: host_kernel/machine/debug_registers.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/world_switch.h"
#include "host_kernel/memory/fault.h"
#include "host_kernel/memory/guest_virtual.h"

/* Was the exit such a fault, and is the page mapped now?  Then the Guest can be entered again. */
static bool filled(void)
{
	struct registers *regs = guest.regs;
	u32 error;

	if (regs->trapnum != TRAP_PAGE_FAULT || (regs->cs & RPL) != RPL || (regs->eflags & SPECIAL_FLAGS) || native.stepping ||
	    native.page_unprotected || ldt_special() || untrusted->stale)
		return false;
	untrusted->reflected = 0;
	if (demand_page(guest.cr2, regs->errcode, &error) != FAULT_FILLED || guest.unlinked)
		return false;
	/* A write to a write-protected page, or to one without memory, is not done with this. */
	if ((regs->errcode & FAULT_W) && !shadow_lookup(guest.cr2, true))
		return false;
	fill_around(guest.cr2);
	mailbox->faults_filled++;
	regs->trapnum = TRAP_NONE;
	state->guest_gdt = state->user_gdt;
	return true;
}

/* After a world switch: as many more as there are such faults. */
void OFTEN __attribute__((noinline)) refill(void)
{
	while (filled())
		switch_worlds();
}
