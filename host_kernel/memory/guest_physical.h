/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access to Guest-physical memory.  Every address is checked first, so that a Guest cannot make the Host kernel use memory
 * outside the Guest.  Read next: guest_virtual.h.
 * Next in the book: paging.h.
 */
#ifndef HOST_KERNEL_MEMORY_GUEST_PHYSICAL_H
#define HOST_KERNEL_MEMORY_GUEST_PHYSICAL_H
#include "host_kernel/base/end.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/memory/paging.h"

static inline bool guest_range(u32 address, u32 count)
{
	return address < guest.limit && count <= guest.limit - address;
}

/* Is a page-table entry's frame one that the Guest may map? */
static inline bool guest_frame_valid(pte_t entry)
{
	return entry_address(entry) < guest.limit;
}

/* Does its frame hold registers that are not of a BAR? */
static inline bool is_io_page(pte_t entry)
{
	u32 frame = entry_address(entry);

	return frame && (frame == guest.io_pages[0] || frame == guest.io_pages[1]);
}

/* Is its frame in the window for BARs, or another with registers?  It is never mapped: each access is emulated. */
static inline bool is_io_frame(pte_t entry)
{
	return entry_address(entry) - machine.bar_base < machine.bar_bytes || is_io_page(entry);
}

/* A pointer to count bytes of Guest-physical memory; what names them in the message if the Guest is killed. */
static inline void *guest_physical(u32 address, u32 count, const char *what)
{
	if (!guest_range(address, count))
		kill_guest("%s at physical %#x is beyond the Guest's memory (%#x)", what, address, guest.limit);
	return (void *)(machine.guest_base + address);
}

#endif
