/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fill the shadow page tables at a page fault.  No page is mapped before it, or one beside it, was used: the first access
 * faults, and what the Guest's tables say of the address is put into the shadow.
 * Read before: walk.h, directories.c.
 * Picture: docs/pictures/life-page-fault.svg.
 * Next in the book: dirty.c.
 */
#include "host_kernel/memory/fault.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/directories.h"
#include "host_kernel/memory/walk.h"

/*
 * A page fault at address, with the access of its error code.  FAULT_FILLED: retry the instruction.  FAULT_DENIED: the
 * fault belongs to the Guest, with error code *error.
 */
u32 OFTEN demand_page(u32 address, u32 access, u32 *error)
{
	struct shadow_directory *directory = shadow_directory_current();
	pte_t entry, pde, *linked = directory_entry(directory, INDEX(address));

	if (!walk_inline(address, access, &entry, &pde, error))
		return FAULT_DENIED;
	if (!*linked || shadow_table_frame(page_of(*linked)) != shadow_table_key(pde) || ((*linked ^ link_flags(pde)) & LINK_FLAGS))
		shadow_directory_link(directory, INDEX(address), pde);
	return shadow_table_map(page_of(*linked), SUBINDEX(address), entry) ? FAULT_FILLED : FAULT_IO;
}

/*
 * Map what the Guest's page table has near an address that was just filled: pages in use, whose entries a CPU could have in
 * its TLB.  Linux maps up to this many pages of a file at one fault.
 */
#define AROUND 16u
void OFTEN fill_around(u32 address)
{
	u16 page = page_of(*directory_entry(shadow_directory_current(), INDEX(address)));
	u32 first = SUBINDEX(address) & ~(AROUND - 1);
	u32 empty = ~pages[page].used[first / 32] >> first % 32 & ((1u << AROUND) - 1);
	const pte_t *guest_table = guest_table_of(page);

	if (!guest_table)
		return;
	for (guest_table += first; empty; empty &= empty - 1) {
		u32 index = __builtin_ctz(empty);
		pte_t entry = read_entry(&guest_table[index]);

		if (!(~entry & (PTE_P | PTE_A)))
			shadow_table_map(page, first + index, entry);
	}
}
