/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's own page tables, read as the CPU would read them: two levels, and 4 MiB pages where the Guest may have
 * them.  A paravirtualised Guest (guest.strict) dies of an entry that it must not make; any other one is answered as
 * a CPU would answer.  Nothing is ever found in the Switcher's 4 MiB.  Source: Intel SDM vol. 3, 4.3 and 4.7.
 * Read next: shadow.c.
 */
#include "host_kernel/memory/walk.h"

/* An entry of a Guest directory; in the linear map there is a table for everything. */
u32 guest_pde(u32 guest_directory, u32 index)
{
	if (guest_directory == LINEAR_MAP)
		return ((LINEAR_FRAME + index) << 12) | PTE_P | PTE_RW | PTE_US | PTE_A;
	return read_once((u32 *)guest_physical(guest_directory + index * 4, 4, "a page directory"));
}

void bad_pde(u32 entry, u32 address)
{
	if (entry & (PAGE_BYTES - 1) & ~DIRECTORY_FLAGS)
		kill_guest("bad page directory entry %#x for %#x", entry, address);
	kill_guest("page directory entry %#x for %#x points beyond memory", entry, address);
}

void bad_pte(u32 entry, u32 address)
{
	if (entry & PTE_PS)
		kill_guest("bad page table entry %#x for %#x", entry, address);
	kill_guest("page table entry %#x for %#x points beyond memory", entry, address);
}

bool walk(u32 address, u32 access, u32 *entry, u32 *pde_out, u32 *error)
{
	return walk_inline(address, access, entry, pde_out, error);
}
