/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lab 6: the attack.  A call gate is a descriptor that leads to code of a more privileged ring.  The steps are in README.md.
 *
 * Read before: guest.c.  Read next: host_kernel/lguest/segments.c, which looks at each descriptor that a Guest loads.
 */
#include "offsets.h"

#define GATE_ENTRY    20				/* of the GDT: one that nobody uses */
#define GATE_SELECTOR (GATE_ENTRY * 8 + 1)		/* RPL 1 */
#define CALL_GATE     0xEC00				/* in the upper word: present, DPL 3, a call gate of 32 bits, no parameters */
#define DEBUG_PORT    0xE9				/* of the machine, not of the Guest: what is written there the Launcher keeps as text */

	.text
	.globl attack
/* void attack(void) */
attack:
	/* your code: have the Host kernel load the gate to ring_0, then call through it */
	ret

/* Here the processor should be in ring 0, on the Switcher's stack.  lret leads back to ring 1. */
ring_0:
	/* your code: write each byte of `proof` to DEBUG_PORT */
	lret

	.section .rodata
proof:	.asciz "ring 0 was here\n"

	.section .note.GNU-stack, "", @progbits
