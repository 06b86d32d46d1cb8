/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A walk of the Guest's page tables as the CPU would do it: two levels, and 4 MiB pages if the Guest enabled them; or, with
 * PAE, three, and 2 MiB pages.  An invalid entry kills a paravirtualised Guest (guest.strict); for any other Guest the walk
 * ends as on a CPU.  The Switcher's 4 MiB are never present.  Source: Intel SDM vol. 3, 4.3, 4.4 and 4.7.
 * Read next: shadow.c.
 * Next in the book: shadow.h.
 */
#include "host_kernel/memory/walk.h"

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

bool walk(u32 address, u32 access, pte_t *entry, pte_t *pde_out, u32 *error)
{
	return walk_inline(address, access, entry, pde_out, error);
}

/* Do the Guest's tables map an address with all of these flags, and to which frame?  Nothing in them changes. */
bool walk_quietly(u32 address, u32 flags, u32 *frame)
{
	pte_t entry, *place;

	if (guest.directory == LINEAR_MAP || !(place = guest_pde_place(address)))
		return false;
	entry = read_entry(place);
	if (flags & ~(u32)entry || is_reserved_pde(entry))
		return false;
	if (is_large(entry)) {
		*frame = FRAME(entry_in_large_page(entry, address));
		return true;
	}
	if (!guest_frame_valid(entry))
		return false;
	entry = read_entry(entry_of_guest_table(entry, SUBINDEX(address)));
	*frame = FRAME(entry);
	return !(flags & ~(u32)entry) && !is_reserved(entry);
}
