/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Synchronous hypercalls, and lguest_data, the structure that the kernel shares with the Host. Hypercalls return no
 * value.
 *
 * Read next: hypercall_ring.h for asynchronous hypercalls.
 * Next in the book: hypercall.c.
 */
#ifndef HYPERCALL_H
#define HYPERCALL_H
#include "guest_kernel/base/layout.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

extern volatile struct lguest_data lguest_data;

/* The noirq window in frame.S: the Host injects no interrupt between these addresses. guest_kernel.ld has them. */
extern const char noirq_start[], noirq_end[];

static inline void hypercall(u32 nr, u32 arg1, u32 arg2, u32 arg3, u32 arg4)
{
	__asm__ volatile("int %1"
			 : "+a"(nr) : "i"(HYPERCALL_VECTOR), "b"(arg1), "c"(arg2), "d"(arg3), "S"(arg4) : "memory");
}

/* The Host is given Guest-physical addresses. */
static inline u32 physical(const volatile void *address)
{
	return (u32)address - KERNEL_OFFSET;
}

static inline void *virtual(u32 address)
{
	return (void *)(address + KERNEL_OFFSET);
}

#endif
