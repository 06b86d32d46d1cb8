/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's memory as the Host kernel may touch it: always checked first, so that a Guest can never send us
 * to an address that is not its own.  Physical addresses are the Guest's; walk() (page_tables.c) turns virtual ones.
 */
#include "host_kernel/memory/shadow.h"

/* A pointer to count bytes of Guest-physical memory; what names them if the Guest must die for it. */
void *guest_physical(u32 address, u32 count, const char *what)
{
	if (!guest_range(address, count))
		kill_guest("%s at physical %#x is beyond the Guest's memory (%#x)", what, address, guest.limit);
	return (void *)(machine.guest_base + address);
}

/* Copy between us and the Guest's virtual memory, a page at a time; false where a page does not allow it. */
static bool copy(u32 address, void *ours, u32 count, u32 access)
{
	u8 *next = ours;

	while (count) {
		u32 entry, unused, error, chunk = PAGE_BYTES - address % PAGE_BYTES;
		u8 *theirs = mapped(address, access & FAULT_W);

		if (chunk > count)
			chunk = count;
		if (!theirs) {
			if (!walk(address, access, &entry, &unused, &error) || !guest_frame_valid(entry))
				return false;
			theirs = (u8 *)(machine.guest_base + (entry & ~(PAGE_BYTES - 1)) + address % PAGE_BYTES);
		}
		if (access & FAULT_W)
			memcpy(theirs, next, chunk);
		else
			memcpy(next, theirs, chunk);
		address += chunk;
		next += chunk;
		count -= chunk;
	}
	return true;
}

bool guest_try_read(void *to, u32 address, u32 count)
{
	return copy(address, to, count, 0);
}

bool guest_try_write(u32 address, const void *from, u32 count)
{
	return copy(address, (void *)(uintptr_t)from, count, FAULT_W);
}

void guest_write(u32 address, const void *from, u32 count)
{
	if (!guest_try_write(address, from, count))
		kill_guest("cannot write %u bytes at %#x", count, address);
}
