/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a piece of code up to its first trap and returns that trap's frame: the base of the tests. Demand faults are
 * handled and do not count.
 */
#ifndef CATCH_H
#define CATCH_H
#include "guest_kernel/cpu/frame.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

struct caught {
	bool trapped; /* false: the code returned (ring 1 only) */
	struct trap_frame frame;
	u32 frame_end;   /* the address just above what was pushed */
	u32 trap_esp;    /* where a trap from ring 3 pushes: LHCALL_SET_STACK */
	u32 cr2;
	u32 irq_enabled; /* in the handler */
	u32 real_eflags; /* the processor's, in the handler */
	u32 handler_cs;
};

/* The next catch ends at an interrupt too. */
void catch_interrupts_too(void);
/* The next ring-3 catch starts with this value in irq_enabled: 0 or GUEST_IF. */
void catch_with_irq(u32 flags);

/* Calls start, a void (*)(void), with eax as given, or enters ring 3 there. */
struct caught catch_ring1(const void *start, u32 eax);
struct caught catch_ring3(const void *start, u32 eax);
struct caught catch_in(u32 ring, const void *start, u32 eax); /* ring 1 or 3 */

void catch_reset(void);

/* catch.S */
bool catch_call(const void *start, u32 eax, u32 *save_esp);
void catch_enter_ring3(const void *start, u32 eax, u32 *save_esp, void (*trap_stack)(u32 esp));
void catch_leave(u32 esp) __attribute__((noreturn));

#endif
