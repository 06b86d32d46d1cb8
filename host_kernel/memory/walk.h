/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A walk of the Guest's page tables.  walk_inline() is walk() for the hot path in fault.c.
 * A device may write to a table during the walk: each entry is read once, and the value read is checked.
 * Read next: walk.c.
 */
#ifndef HOST_KERNEL_MEMORY_WALK_H
#define HOST_KERNEL_MEMORY_WALK_H
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/memory/guest_physical.h"
#include "host_kernel/memory/paging.h"

/* Keys of shadow tables without a page table of the Guest, beyond all frames: */
#define LINEAR_FRAME 0x100000u /* of the linear map, plus the directory index */
#define LARGE_FRAME  0x200000u /* of a 4 MiB page, plus its number */

#define DIRECTORY_FLAGS 0x67u /* P, RW, US, A, D: other flags are not supported */

bool walk(u32 address, u32 access, u32 *entry, u32 *pde, u32 *error);
u32 guest_pde(u32 guest_directory, u32 index);
void bad_pde(u32 entry, u32 address) __attribute__((noreturn, cold));
void unusual_pte(u32 entry, u32 address) __attribute__((cold));

/* Kill a paravirtualised Guest for an invalid entry. */
static inline void check_pde(u32 entry, u32 address)
{
	if (guest.strict && ((entry & (PAGE_BYTES - 1) & ~DIRECTORY_FLAGS) || !guest_frame_valid(entry)))
		bad_pde(entry, address);
}

static inline void check_pte(u32 entry, u32 address)
{
	if (guest.strict && ((entry & PTE_PS) || !guest_frame_valid(entry)))
		unusual_pte(entry, address);
}

/* The key by which the shadow of a directory entry's page table, or of its 4 MiB page, is found. */
static inline u32 shadow_table_key(u32 entry)
{
	return guest.large_pages && (entry & PTE_PS) ? LARGE_FRAME + INDEX(entry) : FRAME(entry);
}

/* The address of an entry of a page table or page directory whose frame was checked. */
static inline u32 *entry_of_guest_table(u32 table, u32 index)
{
	return (u32 *)(machine.guest_base + (table & ~(PAGE_BYTES - 1))) + index;
}

/*
 * Translate an address for an access (FAULT_W, FAULT_US, as in a page fault's error code), and set the accessed and dirty
 * bits as the CPU would.  True: *entry and *pde_out are the Guest's entries.  False: *error is the error code of the page
 * fault to reflect.
 */
static inline __attribute__((always_inline)) bool walk_inline(u32 address, u32 access, u32 *entry, u32 *pde_out,
								u32 *error)
{
	u32 pde, *place, used = PTE_A | (access & FAULT_W ? PTE_D : 0), needed = PTE_P;

	*error = access & ~FAULT_P;
	/* Linux makes an entry of its own here before it reads reserve_mem: ignore it. */
	if (INDEX(address) == SWITCHER_INDEX)
		return false;
	if (guest.directory == LINEAR_MAP) {
		if (guest.strict && !guest_frame_valid(address))
			kill_guest("access to %#x, beyond the Guest's memory, before it has page tables", address);
		*pde_out = guest_pde(LINEAR_MAP, INDEX(address));
		*entry = (address & ~(PAGE_BYTES - 1)) | PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_G;
		return true;
	}
	if ((access & FAULT_W) && (guest.write_protect || (access & FAULT_US)))
		needed |= PTE_RW;
	if (access & FAULT_US)
		needed |= PTE_US;
	place = entry_of_guest_table(guest.directory, INDEX(address));
	pde = read_once(place);
	if (!(pde & PTE_P))
		return false;
	check_pde(pde, address);
	if (shadow_table_key(pde) >= LARGE_FRAME) {
		*entry = pde & (PAGE_BYTES - 1) & ~PTE_PS;
		*entry |= (pde & 0xFFC00000) | (address & 0x003FF000);
	} else {
		if (!guest_frame_valid(pde))
			return false;
		if (!(pde & PTE_A))
			*place = pde |= PTE_A;
		place = entry_of_guest_table(pde, SUBINDEX(address));
		*entry = read_once(place);
	}
	*pde_out = pde;
	if (!(*entry & PTE_P))
		return false;
	*error |= FAULT_P;
	check_pte(*entry, address);
	if (needed & ~(pde & *entry))
		return false;
	if (used & ~*entry) {
		*entry |= used;
		*place |= used;
	}
	if ((access & FAULT_W) && !(needed & PTE_RW)) { /* a write that only CR0.WP = 0 allows: the shadow entry is not for ring 3 */
		*pde_out |= PTE_RW;
		*entry = (*entry | PTE_RW) & ~PTE_US;
	}
	return true;
}

#endif
