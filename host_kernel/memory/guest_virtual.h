/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Guest's virtual memory as the Host kernel may touch it. */
#ifndef HOST_KERNEL_MEMORY_GUEST_VIRTUAL_H
#define HOST_KERNEL_MEMORY_GUEST_VIRTUAL_H
#include "host_kernel/base/guest.h"
#include "host_kernel/memory/paging.h"

void guest_write(u32 address, const void *from, u32 count);
bool guest_try_read(void *to, u32 address, u32 count);
bool guest_try_write(u32 address, const void *from, u32 count);
bool guest_may_write(u32 address, u32 count);
bool guest_load(void *to, u32 address, u32 count);
bool guest_store(u32 address, const void *from, u32 count);

/* The page fault that the last access deserved for which one of these three said false. */
struct guest_fault {
	u32 address, error;
};
extern struct guest_fault guest_fault;

/*
 * Where in our memory the Guest's address lies, if the shadow maps it now and, for a write, lets it be written; else
 * NULL, and walk() knows more.  As old as an entry of a TLB may be.
 */
static inline u8 *shadow_lookup(u32 address, bool write)
{
	u32 pde, entry = 0;

	if (INDEX(address) == SWITCHER_INDEX)
		return NULL;
	pde = ((const u32 *)state->guest_cr3)[INDEX(address)];
	if (pde)
		entry = ((const u32 *)(pde & ~(PAGE_BYTES - 1)))[SUBINDEX(address)];
	if (entry < machine.guest_base || (write && !(entry & pde & PTE_RW)))
		return NULL;
	return (u8 *)(entry & ~(PAGE_BYTES - 1)) + address % PAGE_BYTES;
}

#endif
