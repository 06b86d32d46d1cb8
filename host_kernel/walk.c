/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's own page tables, read as the CPU would read them: two levels, and 4 MiB pages where the Guest may have
 * them.  A paravirtualised Guest (guest.strict) dies of an entry that it must not make; any other one is answered as
 * a CPU would answer.  Nothing is ever found in the Switcher's 4 MiB.  Source: Intel SDM vol. 3, 4.3 and 4.7.
 * Read next: shadow.c.
 */
#include "shadow.h"

/* A table may lie where a device writes while we look: read each entry once, then check what was read. */
#define DIRECTORY_FLAGS 0x67u /* P, RW, US, A, D: others have no meaning that we could give them */

static u32 *entry_in(u32 table, u32 index)
{
	return guest_physical((table & ~(PAGE_BYTES - 1)) + index * 4, 4, "a page table");
}

/* An entry of a Guest directory; in the linear map there is a table for everything. */
u32 directory_entry(u32 guest_directory, u32 index)
{
	if (guest_directory == LINEAR_MAP)
		return ((LINEAR_FRAME + index) << 12) | PTE_P | PTE_RW | PTE_US | PTE_A;
	return read_once(entry_in(guest_directory, index));
}

u32 table_entry(u32 frame, u32 index)
{
	return read_once(entry_in(frame << 12, index));
}

/* By what the shadow of the table (or of the 4 MiB page) that a directory's entry names is found. */
u32 table_key(u32 entry)
{
	return guest.large_pages && (entry & PTE_PS) ? LARGE_FRAME + INDEX(entry) : FRAME(entry);
}

void check_directory_entry(u32 entry, u32 address)
{
	if (!guest.strict)
		return;
	if (entry & (PAGE_BYTES - 1) & ~DIRECTORY_FLAGS)
		kill_guest("bad page directory entry %#x for %#x", entry, address);
	if (!guest_frame_valid(entry))
		kill_guest("page directory entry %#x for %#x points beyond memory", entry, address);
}

void check_entry(u32 entry, u32 address)
{
	if (!guest.strict)
		return;
	if (entry & PTE_PS)
		kill_guest("bad page table entry %#x for %#x", entry, address);
	if (!guest_frame_valid(entry))
		kill_guest("page table entry %#x for %#x points beyond memory", entry, address);
}

/*
 * Translate an address for an access (FAULT_W, FAULT_US, as in a page fault's error code), setting the accessed and
 * dirty bits that the CPU would set.  True: *entry and *directory_entry_ are the Guest's entries.  False: *error is
 * the error code of the fault that the Guest must see.
 */
bool walk(u32 address, u32 access, u32 *entry, u32 *directory_entry_, u32 *error)
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
