/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run loop: inject pending interrupts, enter the Guest, handle its exit reason, repeat.
 * Read before: main.c.  Read next: switcher/switcher.S (one world switch; lean.S is faster), then host_kernel/lguest/traps.c.
 * Next in the book: host_kernel/machine/clock.c.
 */
#include "host_kernel/core/run.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/routines.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/clock.h"
#include "host_kernel/machine/mailbox.h"
#include "host_kernel/machine/world_switch.h"

/* The Guest controls much of the frame: set the ring and the flags that protect the Host kernel. */
static void sanitize_frame(void)
{
	struct registers *regs = guest.regs;

	if (!(regs->cs & 3))
		regs->cs |= 1;
	if (!(regs->ss & 3))
		regs->ss |= 1;
	regs->eflags = (regs->eflags & ~FLAGS_CLEARED) | EFLAGS_FIXED;
	regs->trapnum = TRAP_NONE;
}

/* While the Guest runs, CR0.TS has the Guest's value; the Host kernel does not use the FPU. */
static void set_ts(void)
{
	static bool set HOT; /* clear, as after tables_init() */

	if (guest.ts == set)
		return;
	set = guest.ts;
	write_cr0(set ? read_cr0() | CR0_TS : read_cr0() & ~CR0_TS);
}

static void enter(void)
{
	sanitize_frame();
	personality.before_entry();
	set_ts();
	switch_worlds();
}

/*
 * The life of a Guest, exit by exit.  The Launcher and the clock come first, for both may have an interrupt for it.  Then the
 * Guest runs until its next exit, and what the exit asks for is done.  A Guest that halted is woken only by an interrupt: the
 * Host kernel looks for one for a while, and then halts the processor until the machine has one.
 */
void ALWAYS __attribute__((noinline)) run(void)
{
	for (;;) {
		mailbox_irqs();
		clock_check();
		personality.interrupts();
		if (guest.halted) {
			personality.asleep();
			mailbox_flush();
			if (mailbox_poll())
				continue;
			clock_arm(false);
			wait_for_interrupt();
			continue;
		}
		clock_arm(personality.needs_retry());
		enter();
		personality.trap();
		if (guest.regs->trapnum == VECTOR_TIMER)
			mailbox_flush(); /* a Guest that is never idle may have written less than a line */
	}
}
