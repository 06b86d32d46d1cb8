/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A walk of the Guest's page tables as the CPU would do it: two levels, and 4 MiB pages if the Guest enabled them.  An
 * invalid entry kills a paravirtualised Guest (guest.strict); for any other Guest the walk ends as on a CPU.  The Switcher's
 * 4 MiB are never present.  Source: Intel SDM vol. 3, 4.3 and 4.7.
 * Read next: shadow.c.
 */
#include "host_kernel/memory/walk.h"

/* An entry of a page directory of the Guest; in the linear map every entry is present. */
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

/* An entry for neither memory nor a BAR kills the Guest. */
void unusual_pte(u32 entry, u32 address)
{
	if (entry & PTE_PS)
		kill_guest("bad page table entry %#x for %#x", entry, address);
	if (!is_io_frame(entry))
		kill_guest("page table entry %#x for %#x points beyond memory", entry, address);
}

bool walk(u32 address, u32 access, u32 *entry, u32 *pde_out, u32 *error)
{
	return walk_inline(address, access, entry, pde_out, error);
}
