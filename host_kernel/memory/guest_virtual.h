/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Access to Guest-virtual memory.  Read next: guest_virtual.c. */
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

/* The page fault to reflect after guest_may_write(), guest_load() or guest_store() returned false. */
struct guest_fault {
	u32 address, error;
};
extern struct guest_fault guest_fault;

/* The directory entry that the CPU uses for an address. */
static inline pte_t shadow_pde(u32 address)
{
#ifdef PAE
	const pte_t *pdpt = (const pte_t *)state->guest_cr3;

	return ((const pte_t *)entry_address(pdpt[address >> 30]))[INDEX(address) % ENTRIES];
#else
	return ((const pte_t *)state->guest_cr3)[INDEX(address)];
#endif
}

/* The Guest's frame to which a shadow entry leads; beyond all frames where that is none of them. */
static inline u32 shadow_frame(pte_t shadow_entry)
{
	return ((u32)shadow_entry - machine.guest_base) >> 12;
}

/*
 * The Host kernel's address for a Guest-virtual one, if the shadow maps it (writable, for a write); otherwise NULL, and a
 * walk is needed.  Like a TLB entry it can be stale.
 */
static inline u8 *shadow_lookup(u32 address, bool write)
{
	u32 pde, entry = 0, *place = NULL; /* the lower halves */

	if (INDEX(address) >= SWITCHER_INDEX)
		return NULL;
	pde = shadow_pde(address);
	if (pde) {
		place = (u32 *)((pte_t *)(pde & ~(PAGE_BYTES - 1)) + SUBINDEX(address));
		entry = *place;
	}
	if (entry < machine.guest_base || (write && !(entry & pde & PTE_RW)))
		return NULL;
	if (write)
		*place |= PTE_D; /* as the CPU would, for dirty.c */
	return (u8 *)(entry & ~(PAGE_BYTES - 1)) + address % PAGE_BYTES;
}

#endif
