/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Guest's virtual memory: found through the shadow where it is mapped, else by a walk of the Guest's own tables. */
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/print.h"
#include "host_kernel/memory/guest_physical.h"
#include "host_kernel/memory/walk.h"

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
