/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The GDT that the CPU uses for an unmodified kernel: a copy, with safe descriptors, of the one in the kernel's own memory.
 * That page is write-protected, since it changes by plain stores.
 *
 * A few descriptors of data segments are stored to at each change of tasks.  Where they are next to each other, the Switcher
 * does the next stores to them itself (FAST_STORES, switcher/descriptor_stores.h); this file tells it where they are.
 * Source: Intel SDM vol. 3, 3.4.5, 3.5.  Read before: write_protect.c.  Read next: segments.c.
 * Next in the book: segments.c.
 */
#include "host_kernel/native/descriptors.h"
#include "host_kernel/native/native.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/page_tables.h"
#include "host_kernel/memory/walk.h"

#define MOST (sizeof(state->stores_seen) / sizeof(*state->stores_seen))

static u32 guest_gdt[GDT_ENTRIES][2]; /* the Guest's own descriptors, as of the last sync */
static u32 stored_first, stored_count; /* the entries that the Switcher stores to; 0: there are none */
static u32 stored_frame;

void gdt_load(u32 base, u32 limit)
{
	native.gdt_base = base;
	native.gdt_limit = limit;
}

void gdt_set(u32 entry, u64 descriptor)
{
	if (state->gdt_user[entry] == descriptor && (state->gdt[entry] == descriptor || is_user_code(descriptor >> 32)))
		return;
	state->gdt[entry] = descriptor;
	state->gdt_user[entry] = descriptor;
	native.descriptors_differ = true;
}

/* The CPU's copy of these entries is the Guest's now. */
static void stores_copied(u32 first, u32 last)
{
	for (u32 entry = 0; entry < stored_count; entry++)
		if (stored_first + entry - first <= last - first)
			state->stores_seen[entry] = guest_descriptor(stored_first + entry);
	if (first <= stored_first && stored_first + stored_count - 1 <= last)
		untrusted->stale = 0;
}

/*
 * Copy entries of the Guest's GDT, as they are now, into the one that the CPU uses.  Returns whether a code segment is or was
 * among them.
 */
bool gdt_sync_entries(u32 first, u32 last)
{
	bool code = false;

	if (!native.gdt_limit || first >= GDT_ENTRIES) /* the one of the boot protocol is still in use; or the CPU's has none of them */
		return false;
	if (last >= GDT_ENTRIES)
		last = GDT_ENTRIES - 1;
	for (u32 entry = first; entry <= last; entry++)
		guest_gdt[entry][0] = guest_gdt[entry][1] = 0;
	if (last * GDT_ENTRY_BYTES + 7 > native.gdt_limit ||
	    !guest_try_read(guest_gdt[first], native.gdt_base + first * GDT_ENTRY_BYTES, (last - first + 1) * GDT_ENTRY_BYTES))
		for (u32 entry = first; entry <= last && entry * GDT_ENTRY_BYTES + 7 <= native.gdt_limit; entry++)
			guest_try_read(guest_gdt[entry], native.gdt_base + entry * GDT_ENTRY_BYTES, GDT_ENTRY_BYTES);
	for (u32 entry = first ? first : 1; entry <= last; entry++) {
		u32 low = guest_gdt[entry][0], high = guest_gdt[entry][1];

		if (entry == GDT_HOST_CS || entry == GDT_HOST_DS || entry == GDT_TSS)
			continue;
		if (native.ldt_selector && entry == native.ldt_selector >> 3)
			continue;
		/* The registers may still hold the boot protocol's selectors, which the next entry loads again. */
		if ((entry == BOOT_CS || entry == BOOT_DS) && !(high & HIGH_P))
			continue;
		code |= ((state->gdt[entry] >> 32 | high) & HIGH_CODE) != 0;
		gdt_set(entry, safe_descriptor(low, high));
		/* The programs' code is present only while they run, so that the kernel's iret to it faults. */
		if (is_user_code(high))
			state->gdt[entry] &= ~((u64)HIGH_P << 32);
	}
	stores_copied(first, last);
	return code;
}

/* The Guest's own descriptor, as of the last sync. */
u64 guest_descriptor(u32 entry)
{
	return (u64)guest_gdt[entry][1] << 32 | guest_gdt[entry][0];
}

/* Are all of these entries data segments for programs, or not present?  Those that are ours are never copied. */
static bool are_data(u32 first, u32 last)
{
	for (u32 entry = first; entry <= last; entry++) {
		u32 high = entry < GDT_ENTRIES ? guest_gdt[entry][1] : HIGH_P;

		if ((high & HIGH_P) && (high & (HIGH_S | HIGH_CODE | HIGH_DPL)) != (HIGH_S | HIGH_DPL))
			return false;
	}
	return true;
}

void gdt_sync(void)
{
	gdt_sync_entries(1, GDT_ENTRIES - 1);
}

/* Is this a code segment of ring 1 in the GDT that the CPU uses? */
bool is_kernel_code(u16 selector)
{
	u32 entry = selector >> 3, high = entry < GDT_ENTRIES ? state->gdt[entry] >> 32 : 0;

	return !(selector & SELECTOR_TI) && (high & (HIGH_P | HIGH_S | HIGH_CODE | HIGH_CONFORMING)) ==
					     (HIGH_P | HIGH_S | HIGH_CODE) && (high & HIGH_DPL) == HIGH_DPL_1;
}

/* Make these entries not present for the CPU. */
void gdt_hide(u32 entries)
{
	for (; entries; entries &= entries - 1)
		gdt_set(__builtin_ctz(entries), 0);
}

/* The Guest's tables are others now. */
void stores_forget(void)
{
	if (stored_count)
		unmap_gdt_page(stored_frame);
	stored_count = state->stores_bytes = untrusted->stale = 0;
}

/*
 * These entries of the GDT in this frame were stored to, at addresses in this page, and the CPU's copy has them.
 * Where they are fit for it, the next stores to them need no world switch, nor do those to the ones known before.
 */
void stores_learn(u32 page, u32 frame, u32 first, u32 last)
{
	if (stored_count && frame == stored_frame && state->stores_start / PAGE_BYTES == page / PAGE_BYTES) {
		if (first >= stored_first && last < stored_first + stored_count)
			return;
		if (first > stored_first)
			first = stored_first;
		if (last < stored_first + stored_count - 1)
			last = stored_first + stored_count - 1;
	}
	if (last - first >= MOST || native.gdt_base % GDT_ENTRY_BYTES || !are_data(first, last))
		return;
	if (untrusted->stale)
		stores_sync();
	if (!stored_count || frame != stored_frame) {
		stores_forget();
		map_gdt_page(frame);
	}
	stored_frame = frame;
	stored_first = first;
	stored_count = last - first + 1;
	state->stores_start = page + native.gdt_base % PAGE_BYTES + first * GDT_ENTRY_BYTES;
	state->stores_alias = SWITCHER_DATA_PAGE + state->stores_start % PAGE_BYTES;
	state->stores_bytes = stored_count * GDT_ENTRY_BYTES;
	stores_copied(first, last);
}

/* Before a program is entered: give the CPU what the Switcher stored. */
void stores_sync(void)
{
	untrusted->stale = 0;
	if (stored_count)
		gdt_sync_entries(stored_first, stored_first + stored_count - 1);
}

/*
 * Do the Guest's page tables still lead from where its kernel stores them to the GDT, and allow the store?  Only then the
 * Switcher's mapping does the same.  What they said at the entry holds until the Guest flushes it, as in a TLB.
 */
bool stores_allowed(void)
{
	u32 frame;

	return stored_count && !native.stepping && walk_quietly(state->stores_start, PTE_P | PTE_RW, &frame) &&
	       frame == stored_frame;
}
