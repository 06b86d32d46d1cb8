/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a small Guest of the labs stands on: hypercalls, text on the console, and the end.
 *
 * Read before: start.S.  Read next: small.c; switcher/layouts/lguest_abi.h for the numbers of hypercalls and lguest_data.
 */
#ifndef SMALL_H
#define SMALL_H
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define KERNEL_ADDRESS 0xC0000000u /* from here on all page directories of a Guest agree */

extern volatile struct lguest_data lguest_data; /* what the Guest and the Host kernel share */

void guest_main(void); /* the lab's own code; its return powers off */

/* Hypercalls return no value. */
static inline void hypercall(u32 nr, u32 arg1, u32 arg2, u32 arg3)
{
	__asm__ volatile("int %1" : "+a"(nr) : "i"(HYPERCALL_VECTOR), "b"(arg1), "c"(arg2), "d"(arg3), "S"(0) : "memory");
}

/* The lower half of the time-stamp counter: enough for differences below 2^32 ticks. */
static inline u32 read_tsc(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low;
}

void print(const char *text);
void print_number(u32 number);
void print_hex(u32 number);
void print_answer(const char *question, bool yes); /* "question: yes" */
void power_off(void) __attribute__((noreturn));

#endif
