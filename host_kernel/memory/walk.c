/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's own page tables, read as the CPU would read them: two levels, and 4 MiB pages where the Guest may have
 * them.  A paravirtualised Guest (guest.strict) dies of an entry that it must not make; any other one is answered as
 * a CPU would answer.  Nothing is ever found in the Switcher's 4 MiB.  Source: Intel SDM vol. 3, 4.3 and 4.7.
 * Read next: shadow.c.
 */
#include "host_kernel/memory/shadow.h"

/* A table may lie where a device writes while we look: read each entry once, then check what was read. */
/* An entry of a Guest directory; in the linear map there is a table for everything. */
u32 directory_entry(u32 guest_directory, u32 index)
{
	if (guest_directory == LINEAR_MAP)
		return ((LINEAR_FRAME + index) << 12) | PTE_P | PTE_RW | PTE_US | PTE_A;
	return read_once((u32 *)guest_physical(guest_directory + index * 4, 4, "a page directory"));
}

void bad_directory_entry(u32 entry, u32 address)
{
	if (entry & (PAGE_BYTES - 1) & ~DIRECTORY_FLAGS)
		kill_guest("bad page directory entry %#x for %#x", entry, address);
	kill_guest("page directory entry %#x for %#x points beyond memory", entry, address);
}

void bad_entry(u32 entry, u32 address)
{
	if (entry & PTE_PS)
		kill_guest("bad page table entry %#x for %#x", entry, address);
	kill_guest("page table entry %#x for %#x points beyond memory", entry, address);
}

/* An entry of a table, or of the current directory, in a frame that was checked. */
static inline u32 *entry_in(u32 table, u32 index)
{
	return (u32 *)(machine.guest_base + (table & ~(PAGE_BYTES - 1))) + index;
}

/*
 * Translate an address for an access (FAULT_W, FAULT_US, as in a page fault's error code), setting the accessed and
 * dirty bits that the CPU would set.  True: *entry and *directory_entry_ are the Guest's entries.  False: *error is
 * the error code of the fault that the Guest must see.
 */
static inline __attribute__((always_inline)) bool look_up(u32 address, u32 access, u32 *entry, u32 *directory_entry_, u32 *error)
{
	u32 upper, *place, used = PTE_A | (access & FAULT_W ? PTE_D : 0), needed = PTE_P;

	*error = access & ~FAULT_P;
	/* Linux has had an entry of its own here since before it learnt of reserve_mem: for us it is not there. */
	if (INDEX(address) == SWITCHER_INDEX)
		return false;
	if (guest.directory == LINEAR_MAP) {
		if (guest.strict && !guest_frame_valid(address))
			kill_guest("access to %#x, beyond the Guest's memory, before it has page tables", address);
		*directory_entry_ = directory_entry(LINEAR_MAP, INDEX(address));
		*entry = (address & ~(PAGE_BYTES - 1)) | PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_G;
		return true;
	}
	if ((access & FAULT_W) && (guest.write_protect || (access & FAULT_US)))
		needed |= PTE_RW;
	if (access & FAULT_US)
		needed |= PTE_US;
	place = entry_in(guest.directory, INDEX(address));
	upper = read_once(place);
	if (!(upper & PTE_P))
		return false;
	check_directory_entry(upper, address);
	if (table_key(upper) >= LARGE_FRAME) {
		*entry = upper & (PAGE_BYTES - 1) & ~PTE_PS;
		*entry |= (upper & 0xFFC00000) | (address & 0x003FF000);
	} else {
		if (!guest_frame_valid(upper))
			return false;
		if (!(upper & PTE_A))
			*place = upper |= PTE_A;
		place = entry_in(upper, SUBINDEX(address));
		*entry = read_once(place);
	}
	*directory_entry_ = upper;
	if (!(*entry & PTE_P))
		return false;
	*error |= FAULT_P;
	check_entry(*entry, address);
	if (needed & ~(upper & *entry))
		return false;
	if (used & ~*entry) {
		*entry |= used;
		*place |= used;
	}
	if ((access & FAULT_W) && !(needed & PTE_RW)) { /* allowed only because CR0.WP is clear: not for ring 3 */
		*directory_entry_ |= PTE_RW;
		*entry = (*entry | PTE_RW) & ~PTE_US;
	}
	return true;
}

bool walk(u32 address, u32 access, u32 *entry, u32 *directory_entry_, u32 *error)
{
	return look_up(address, access, entry, directory_entry_, error);
}

/*
 * A page fault at address, for an access as in its error code.  True: the shadow now allows it.  False: the Guest
 * must see the fault, with *error.
 */
bool OFTEN demand_page(u32 address, u32 access, u32 *error)
{
	struct directory *directory = directory_current();
	u32 entry, upper, *linked = page_entries(directory->page) + INDEX(address);

	if (!look_up(address, access, &entry, &upper, error))
		return false;
	if (!*linked || table_frame(page_of(*linked)) != table_key(upper) || ((*linked ^ upper) & (PTE_RW | PTE_US)))
		directory_link(directory, INDEX(address), upper);
	table_map(page_of(*linked), SUBINDEX(address), entry);
	return true;
}
