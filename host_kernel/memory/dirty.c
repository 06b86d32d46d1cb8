/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of the Guest's page tables may have been written since we last looked, so that a flush need not compare the
 * others: the kernel's map thousands of pages, and hardly ever change.
 *
 * The CPU itself tells, by the dirty bit that it sets in a shadow entry at the first write through it.  The Guest's own
 * dirty bit, in its own entry, is set before a shadow entry allows a write, so that in the shadow is free for this.
 * Cleared here, it is set again by the next write, since each entry to the Guest loads CR3.  Where a table's frame
 * can be written through more than one shadow entry, or by one that we do not find, the table counts as written.
 *
 * Read before: shadow.c.
 */
#include "host_kernel/memory/dirty.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/print.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/paging.h"

u32 *writers HOT;
u32 writers_count HOT;

/* Takes memory from first_free on; returns where it ends. */
u32 writers_init(u32 first_free)
{
	writers = (u32 *)first_free;
	writers_count = FRAME(machine.guest_bytes) + machine.device_pages;
	memset(writers, 0, writers_count * 4);
	return first_free + writers_count * 4;
}

/* Where a kernel like Linux has all of its memory: the shadow entry that maps this frame there for writing, or NULL. */
static u32 *kernel_mapping(u32 frame)
{
	u32 address = guest.kernel_address + (frame << 12);
	u32 pde = ((const u32 *)state->guest_cr3)[INDEX(address)], *entry;

	if (INDEX(address) == SWITCHER_INDEX || !pde)
		return NULL;
	entry = (u32 *)(pde & ~(PAGE_BYTES - 1)) + SUBINDEX(address);
	return FRAME(*entry - machine.guest_base) == frame && (*entry & PTE_RW) ? entry : NULL;
}

/* May the Guest have written to this frame since the last call? */
bool test_and_clear_dirty(u32 frame)
{
	u32 count = writers[frame] & ~FRAME_DIRTY;
	bool written = (writers[frame] & FRAME_DIRTY) || count > 1;
	u32 *entry;

	writers[frame] = count;
	if (count != 1)
		return written;
	entry = kernel_mapping(frame);
	if (!entry || (*entry & PTE_D))
		written = true;
	if (entry)
		*entry &= ~PTE_D;
	return written;
}
