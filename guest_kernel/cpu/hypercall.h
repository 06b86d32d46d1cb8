/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calling the Host: at once, or through the ring in lguest_data, which the Host empties before the next call
 * made at once. No call returns a value.
 */
#ifndef HYPERCALL_H
#define HYPERCALL_H
#include "guest_kernel/memory/layout.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include <stdbool.h>

extern volatile struct lguest_data lguest_data;

static inline void hypercall(u32 nr, u32 arg1, u32 arg2, u32 arg3, u32 arg4)
{
	__asm__ volatile("int $0x1f" : "+a"(nr) : "b"(arg1), "c"(arg2), "d"(arg3), "S"(arg4) : "memory");
}

/* Leave a call in the ring; when the ring is full it is made at once. */
void hypercall_async(u32 nr, u32 arg1, u32 arg2, u32 arg3, u32 arg4);
u32 hypercall_ring_cursor(void); /* the entry that the next hypercall_async fills */
void hypercall_ring_skip(u32 entries); /* for a test that fills entries itself */

static inline u32 physical(const volatile void *address)
{
	return (u32)address - KERNEL_OFFSET;
}

static inline void *virtual(u32 address)
{
	return (void *)(address + KERNEL_OFFSET);
}

#endif
