/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first page tables of a Guest that has none of its own when it jumps to its kernel addresses: Linux up to 3.0.
 * They lie in the Guest's RAM, where the Launcher left room, and are the Guest's from then on.
 * Read before: hypercalls.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/memory/guest_physical.h"

#define FLAGS 0x67u /* present, writable, user, accessed, dirty */
#define TABLE_SPAN (ENTRIES * PAGE_BYTES)

static u32 lesser(u32 one, u32 other)
{
	return one < other ? one : other;
}

/* Map RAM at 0 and at kernel_address, as far as neither reaches what lies above it.  Returns the page directory's address. */
u32 first_tables(void)
{
	u32 address = machine.tables_end - PAGE_BYTES, pages = machine.guest_bytes / PAGE_BYTES;
	u32 *directory = guest_physical(address, PAGE_BYTES, "the first page directory");
	u32 room = lesser(guest.kernel_address, SWITCHER_BASE - guest.kernel_address) / TABLE_SPAN;
	u32 tables = lesser((pages + ENTRIES - 1) / ENTRIES, room);

	for (u32 i = 0; i < tables; i++) {
		u32 *table = guest_physical(address - (i + 1) * PAGE_BYTES, PAGE_BYTES, "a first page table");

		for (u32 entry = 0; entry < ENTRIES && i * ENTRIES + entry < pages; entry++)
			table[entry] = (i * ENTRIES + entry) * PAGE_BYTES | FLAGS;
		directory[i] = (address - (i + 1) * PAGE_BYTES) | FLAGS;
		directory[guest.kernel_address / TABLE_SPAN + i] = directory[i];
	}
	return address;
}
