/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lab 4: a Guest that takes the interrupts of its clock.  The steps are in README.md.
 *
 * Read next: handler.S, where an interrupt arrives; proof.c, which looks whether all is well.
 */
#include "labs/04-interrupt/lab.h"

volatile u32 ticks;

/* Step 1: virtual interrupt 0, the clock's, arrives at clock_entry (handler.S).  Its gate is an interrupt gate. */
void set_clock_gate(void)
{
	/* your code: one hypercall */
}

/* handler.S calls it for each interrupt of the clock, in step 2. */
void clock_tick(void)
{
	ticks++;
	clock_arm(); /* it goes off once */
}

/* Step 3: sleep until an interrupt was handled, without spending the processor's time. */
void wait_for_tick(void)
{
	/* your code: one hypercall */
}
