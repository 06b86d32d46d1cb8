/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trap frame: what the processor, or the Host in its place, pushes for a trap, and what traps.S pushes below it.
 * Next in the book: guest_kernel/traps/traps.S.
 */
#ifndef FRAME_H
#define FRAME_H
#include "switcher/layouts/types.h"

enum vector {
	TRAP_DIVIDE = 0,
	TRAP_DEBUG = 1,
	TRAP_BREAKPOINT = 3,
	TRAP_OVERFLOW = 4,
	TRAP_BOUND = 5,
	TRAP_UNDEFINED = 6,
	TRAP_NO_DEVICE = 7,
	TRAP_NOT_PRESENT = 11,
	TRAP_STACK = 12,
	TRAP_PROTECTION = 13,
	TRAP_PAGE_FAULT = 14,
	TRAP_FPU = 16,
	TRAP_SIMD = 19,
};

/* A page fault's error code. */
#define FAULT_PRESENT 1
#define FAULT_WRITE   2
#define FAULT_USER    4

#define RPL_MASK 3 /* of a selector */

/* From the last push to the first. esp and ss are pushed only for a trap from ring 3. */
struct trap_frame {
	u32 edi;
	u32 esi;
	u32 ebp;
	u32 unused_esp;
	u32 ebx;
	u32 edx;
	u32 ecx;
	u32 eax;
	u32 ds;
	u32 es;
	u32 fs;
	u32 gs;
	u32 vector;
	u32 error;
	u32 eip;
	u32 cs;
	u32 eflags;
	u32 esp;
	u32 ss;
};

/* Restores the frame at esp. Not called: traps.S jumps there, and a new task's first switch returns there. */
void trap_return(void);

void noirq_spin(u32 rounds); /* counts down inside the noirq window, for a test */

#endif
