/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the Switcher must know to do the stores to a GDT itself that come with each change of tasks (FAST_STORES): where
 * they were the last time that the Host kernel did them.  A few descriptors of data segments that are next to each other
 * qualify; all else that is stored to a GDT comes here.
 * Read before: switcher/descriptor_stores.h, write_protect.c.  Read next: segments.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/memory/page_tables.h"
#include "host_kernel/memory/walk.h"

#define MOST (sizeof(state->stores_seen) / sizeof(*state->stores_seen))

static u32 first_entry, entries; /* in the GDT; 0 entries: there are none */
static u32 stored_frame;

/* The Guest's tables are others now. */
void stores_forget(void)
{
	if (entries)
		unmap_gdt_page(stored_frame);
	entries = state->stores_bytes = untrusted->stale = 0;
}

/*
 * These entries of the GDT in this frame were stored to, at addresses in this page, and the CPU's copy has them.
 * Where they are fit for it, the next stores to them need no world switch, nor do those to the ones known before.
 */
void stores_learn(u32 page, u32 frame, u32 first, u32 last)
{
	if (entries && frame == stored_frame && state->stores_start / PAGE_BYTES == page / PAGE_BYTES) {
		if (first >= first_entry && last < first_entry + entries)
			return;
		if (first > first_entry)
			first = first_entry;
		if (last < first_entry + entries - 1)
			last = first_entry + entries - 1;
	}
	if (last - first >= MOST || native.gdt_base % GDT_ENTRY_BYTES || !are_data(first, last))
		return;
	if (untrusted->stale)
		stores_sync();
	if (!entries || frame != stored_frame) {
		stores_forget();
		map_gdt_page(frame);
	}
	stored_frame = frame;
	first_entry = first;
	entries = last - first + 1;
	state->stores_start = page + native.gdt_base % PAGE_BYTES + first * GDT_ENTRY_BYTES;
	state->stores_alias = SWITCHER_DATA_PAGE + state->stores_start % PAGE_BYTES;
	state->stores_bytes = entries * GDT_ENTRY_BYTES;
	stores_copied(first, last);
}

/* The CPU's copy of these entries is the Guest's now. */
void stores_copied(u32 first, u32 last)
{
	for (u32 entry = 0; entry < entries; entry++)
		if (first_entry + entry - first <= last - first)
			state->stores_seen[entry] = guest_descriptor(first_entry + entry);
	if (first <= first_entry && first_entry + entries - 1 <= last)
		untrusted->stale = 0;
}

/* Before a program is entered: give the CPU what the Switcher stored. */
void stores_sync(void)
{
	untrusted->stale = 0;
	if (entries)
		gdt_sync_entries(first_entry, first_entry + entries - 1);
}

/*
 * Do the Guest's page tables still lead from where its kernel stores them to the GDT, and allow the store?  Only then the
 * Switcher's mapping does the same.  What they said at the entry holds until the Guest flushes it, as in a TLB.
 */
bool stores_allowed(void)
{
	u32 address = state->stores_start, entry, frame;

	if (!entries || native.stepping || guest.directory == LINEAR_MAP)
		return false;
	entry = read_once(entry_of_guest_table(guest.directory, INDEX(address)));
	if ((entry & (PTE_P | PTE_RW)) != (PTE_P | PTE_RW))
		return false;
	if (shadow_table_key(entry) >= LARGE_FRAME)
		frame = (entry >> 22 << 10) + SUBINDEX(address);
	else if (!guest_frame_valid(entry))
		return false;
	else if (((entry = read_once(entry_of_guest_table(entry, SUBINDEX(address)))) & (PTE_P | PTE_RW)) != (PTE_P | PTE_RW))
		return false;
	else
		frame = entry >> 12;
	return frame == stored_frame;
}
