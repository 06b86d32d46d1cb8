/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run a piece of code up to the first trap it makes, and look at that trap: what the tests stand on, and the
 * `fault` command. Page faults that only want a demand page are served, not caught.
 */
#ifndef CATCH_H
#define CATCH_H
#include "guest_kernel/cpu/traps.h"

struct caught {
	bool trapped; /* false: the code came back by itself (ring 1 only) */
	struct frame frame;
	u32 frame_end;   /* the address just above what was pushed */
	u32 trap_esp;    /* where SET_STACK said that a trap from ring 3 pushes */
	u32 cr2;
	u32 irq_enabled; /* as the handler found it */
	u32 real_eflags; /* the processor's, in the handler */
	u32 handler_cs;
};

/* Interrupts, too, end it from now on until the next catch is over. */
void catch_interrupts_too(void);
/* The next ring-3 catch starts with irq_enabled as given (0 or GUEST_IF). */
void catch_with_irq(u32 flags);

/* Call start, a void (*)(void), with eax as given; or enter ring 3 there. */
struct caught catch_ring1(const void *start, u32 eax);
struct caught catch_ring3(const void *start, u32 eax);
struct caught catch_in(u32 ring, const void *start, u32 eax); /* ring 1 or 3 */

bool catch_active(void);
void catch_reset(void);
void catch_trap(struct frame *frame, u32 cr2); /* does not return when a catch is on */
void catch_interrupt(struct frame *frame);

/* In catch.S. */
bool catch_call(const void *start, u32 eax, u32 *save_esp);
void catch_enter_ring3(const void *start, u32 eax, u32 *save_esp, void (*trap_stack)(u32 esp));
void catch_leave(u32 esp) __attribute__((noreturn));

#endif
