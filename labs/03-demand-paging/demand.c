/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lab 3: demand paging.  The Guest's heap has addresses from HEAP_START up to HEAP_END, and at first no page: each gets its
 * frame when it is used.  The steps are in README.md.
 *
 * Read before: lab.h.  Read next: fault.S, where a fault arrives; proof.c, which uses the heap.
 */
#include "labs/03-demand-paging/lab.h"

/*
 * A page fault of this Guest at address, with the processor's error code.  True: it was handled, and the instruction that
 * faulted runs again.  False: the access is wrong.
 */
bool page_fault(u32 address, u32 error)
{
	(void)address;
	(void)error;
	return false; /* your code */
}
