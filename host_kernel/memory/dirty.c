/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty tracking: which of the Guest's page tables may have been written since their last sync.  A flush compares only
 * those; the kernel's tables map thousands of pages and hardly ever change.
 *
 * The CPU sets the dirty bit of a shadow entry at the first write through it.  The Guest's dirty bit is set in the Guest's
 * entry before the shadow entry becomes writable, so the bit in the shadow is free for this use.  Every entry to the Guest
 * loads CR3, so after the bit is cleared here the next write sets it again.  A table that is mapped writable more than
 * once, or by an entry that is not found, counts as dirty.  A device writes without any shadow entry: the Launcher says to
 * which frames (machine.device_writes).
 *
 * Read before: shadow.c.
 * Next in the book: page_tables.c.
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
	for (u32 frame = FRAME(machine.guest_bytes); frame < writers_count; frame++)
		writers[frame] = 2; /* the Launcher writes to device pages at any time: a page table there always counts as dirty */
	return first_free + writers_count * 4;
}

/*
 * Did a device write to this frame since the last call?  The Launcher writes on another processor: it sets the byte after what
 * it wrote, so either the byte is seen here, or the Launcher has not given the buffer back and a later flush sees it.  The
 * locked instruction clears the byte before the caller reads the table: a write that comes later sets it again.
 */
static bool __attribute__((cold, noinline)) test_and_clear_device_wrote(u32 frame)
{
	u8 wrote = DEVICE_WROTE;

	__atomic_compare_exchange_n(&((u8 *)machine.device_writes)[frame], &wrote, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return true;
}

/*
 * The shadow entry (its lower half) of this frame's address in the kernel's linear mapping, where Linux has all of its memory;
 * or NULL.
 */
static u32 *kernel_mapping(u32 frame)
{
	u32 address = guest.kernel_address + (frame << 12);
	pte_t pde = shadow_pde(address);

	if (INDEX(address) >= SWITCHER_INDEX || !pde)
		return NULL;
	return (u32 *)((pte_t *)entry_address(pde) + SUBINDEX(address));
}

/* May the Guest, or a device of its, have written to this frame since the last call? */
bool test_and_clear_dirty(u32 frame)
{
	u32 count = writers[frame], differs, *entry;
	bool written = false;

	if (__builtin_expect(((const volatile u8 *)machine.device_writes)[frame], 0))
		written = test_and_clear_device_wrote(frame);
	if (count & FRAME_DIRTY) {
		written = true;
		writers[frame] = count &= ~FRAME_DIRTY;
	}
	if (count != 1)
		return written || count;
	entry = kernel_mapping(frame);
	if (!entry)
		return true;
	differs = (*entry ^ (machine.guest_base + (frame << 12) + PTE_RW)) & (~(PAGE_BYTES - 1) | PTE_RW | PTE_D);
	if (!differs)
		return written;
	if (differs == PTE_D)
		*entry &= ~PTE_D;
	return true;
}
