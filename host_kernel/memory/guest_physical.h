/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's physical memory as the Host kernel may touch it: always checked first, so that a Guest can never send the
 * Host kernel to an address that is not its own.  Read next: guest_virtual.h.
 */
#ifndef HOST_KERNEL_MEMORY_GUEST_PHYSICAL_H
#define HOST_KERNEL_MEMORY_GUEST_PHYSICAL_H
#include "host_kernel/base/end.h"
#include "host_kernel/base/guest.h"

static inline bool guest_range(u32 address, u32 count)
{
	return address < guest.limit && count <= guest.limit - address;
}

/* Does a page-table entry's frame lie in what the Guest may map? */
static inline bool guest_frame_valid(u32 entry)
{
	return (entry & ~(PAGE_BYTES - 1)) < guest.limit;
}

/* A pointer to count bytes of Guest-physical memory; what names them if the Guest must die for it. */
static inline void *guest_physical(u32 address, u32 count, const char *what)
{
	if (!guest_range(address, count))
		kill_guest("%s at physical %#x is beyond the Guest's memory (%#x)", what, address, guest.limit);
	return (void *)(machine.guest_base + address);
}

#endif
