/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty tracking: which of the Guest's page tables may have been written since their last sync.  A flush compares only
 * those; the kernel's tables map thousands of pages and hardly ever change.
 *
 * The CPU sets the dirty bit of a shadow entry at the first write through it.  The Guest's dirty bit is set in the Guest's
 * entry before the shadow entry becomes writable, so the bit in the shadow is free for this use.  Every entry to the Guest
 * loads CR3, so after the bit is cleared here the next write sets it again.  A table that is mapped writable more than
 * once, or by an entry that is not found, counts as dirty.
 *
 * Read before: shadow.c.
 */
#include "host_kernel/memory/dirty.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/print.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/guest_virtual.h"

u32 *writers HOT;
u32 writers_count HOT;

/* Uses memory from first_free on; returns the end of it. */
u32 writers_init(u32 first_free)
{
	writers = (u32 *)first_free;
	writers_count = FRAME(machine.guest_bytes) + machine.device_pages;
	memset(writers, 0, writers_count * 4);
	return first_free + writers_count * 4;
}

/* The writable shadow entry of this frame in the kernel's linear mapping, where Linux has all of its memory; or NULL. */
static pte_t *kernel_mapping(u32 frame)
{
	u32 address = guest.kernel_address + (frame << 12);
	pte_t pde = shadow_pde(address), *entry;

	if (INDEX(address) >= SWITCHER_INDEX || !pde)
		return NULL;
	entry = (pte_t *)entry_address(pde) + SUBINDEX(address);
	return shadow_frame(*entry) == frame && (*entry & PTE_RW) ? entry : NULL;
}

/* May the Guest have written to this frame since the last call? */
bool test_and_clear_dirty(u32 frame)
{
	u32 count = writers[frame] & ~FRAME_DIRTY;
	bool written = (writers[frame] & FRAME_DIRTY) || count > 1;
	pte_t *entry;

	writers[frame] = count;
	if (count != 1)
		return written;
	entry = kernel_mapping(frame);
	if (!entry || (*entry & PTE_D))
		written = true;
	if (entry)
		*(u32 *)entry &= ~PTE_D;
	return written;
}
