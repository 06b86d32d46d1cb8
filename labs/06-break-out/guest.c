/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lab 6: a Guest that breaks out of ring 1.  Nothing is to be changed here.
 *
 * Read next: attack.S, which is yours.
 */
#include "labs/small/small.h"

void attack(void); /* attack.S */

static u32 ring(void)
{
	u32 cs;

	__asm__("movl %%cs, %0" : "=r"(cs));
	return cs & 3;
}

void guest_main(void)
{
	print("before the attack: ring ");
	print_number(ring());
	print("\n");
	attack();
	print("after the attack: ring ");
	print_number(ring());
	print("\n");
}
