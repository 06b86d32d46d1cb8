/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lab 1: the time of a null switch, from a Guest into the Host kernel and back.
 *
 * Read before: README.md.  Read next: switcher/lean.S, which your hypercall runs through.
 */
#include "labs/small/small.h"

#define ROUNDS 1000u

/* Step 1: one world switch in which the Host kernel has nothing to do. */
void null_switch(void)
{
	/* your code: a hypercall */
}

/* Step 2: of ROUNDS null switches, the ticks of the TSC that the fastest took. */
u32 fastest_null_switch(void)
{
	return 0; /* your code */
}

void guest_main(void)
{
	null_switch(); /* the first one finds nothing in the TLB: it is not measured */
	u32 ticks = fastest_null_switch();
	print("null switch: ");
	print_number(ticks);
	print(" ticks\n");
}
