/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lab 4, step 2: where an interrupt of the clock arrives, in the middle of anything.  The stack then has, from esp up: eip, cs, eflags.
 *
 * Ring 1 cannot change the processor's interrupt flag.  The Guest has its own in lguest_data.irq_enabled: GUEST_IF, or 0.
 * The Host kernel injects nothing while it is 0, and set it to 0 on the way to here, as the processor does at an interrupt gate.
 *
 * Between noirq_start and noirq_end the Host kernel injects nothing either (small.c tells it these addresses).
 *
 * Read before: guest.c.  Read next: host_kernel/lguest/inject.c, which pushed the frame.
 */
#include "offsets.h"

	.text
	.globl clock_entry
/* Not a function: the Host kernel jumps here, and iret returns to where it came from */
clock_entry:
	/* your code: call clock_tick, and leave all registers as they were */

	.globl noirq_start
noirq_start:
	/* your code: from here on interrupts are enabled */
	iret
	.globl noirq_end
noirq_end:

	.section .note.GNU-stack, "", @progbits
