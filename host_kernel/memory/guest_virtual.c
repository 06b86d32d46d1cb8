/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Access to Guest-virtual memory: through the shadow where it maps the page, otherwise by a walk of the Guest's tables. */
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/print.h"
#include "host_kernel/memory/guest_physical.h"
#include "host_kernel/memory/shadow.h"
#include "host_kernel/memory/walk.h"

struct guest_fault guest_fault;

/*
 * Copy between a buffer and Guest-virtual memory, a page at a time; false where a page does not allow it.  With exact, as
 * an instruction of the Guest would: guest_fault is the page fault to reflect, reads without memory give ones, and writes
 * there are lost.  Without it, a frame without memory is an error.
 */
static inline __attribute__((always_inline)) bool copy(u32 address, void *buffer, u32 count, u32 access, bool exact)
{
	static u8 lost[PAGE_BYTES];
	u8 *next = buffer;

	while (count) {
		pte_t entry, unused;
		u32 error, chunk = PAGE_BYTES - address % PAGE_BYTES;
		u8 *guest_bytes = shadow_lookup(address, access & FAULT_W);

		if (chunk > count)
			chunk = count;
		if (!guest_bytes) {
			bool allowed = walk(address, access, &entry, &unused, &error);

			if (exact && !allowed)
				guest_fault = (struct guest_fault){ address, error };
			if (!allowed || (!exact && !guest_frame_valid(entry)))
				return false;
			guest_bytes = (u8 *)(machine.guest_base + entry_address(entry) + address % PAGE_BYTES);
			if (exact && !guest_frame_valid(entry))
				guest_bytes = access & FAULT_W ? lost : absent_page;
			else if (access & FAULT_W)
				mark_dirty(FRAME(entry));
		}
		if (access & FAULT_W)
			memcpy(guest_bytes, next, chunk);
		else
			memcpy(next, guest_bytes, chunk);
		address += chunk;
		next += chunk;
		count -= chunk;
	}
	return true;
}

static bool __attribute__((noinline)) copy_memory(u32 address, void *buffer, u32 count, u32 access)
{
	return copy(address, buffer, count, access, false);
}

bool guest_try_read(void *to, u32 address, u32 count)
{
	return copy_memory(address, to, count, 0);
}

bool guest_try_write(u32 address, const void *from, u32 count)
{
	return copy_memory(address, (void *)(uintptr_t)from, count, FAULT_W);
}

/* Could the Guest write to all of it?  If not, guest_fault is the page fault. */
bool guest_may_write(u32 address, u32 count)
{
	while (count) {
		pte_t entry, unused;
		u32 error, chunk = PAGE_BYTES - address % PAGE_BYTES;

		if (!walk(address, FAULT_W, &entry, &unused, &error)) {
			guest_fault = (struct guest_fault){ address, error };
			return false;
		}
		address += chunk;
		count -= chunk < count ? chunk : count;
	}
	return true;
}

/* Read as an instruction of the Guest would. */
bool guest_load(void *to, u32 address, u32 count)
{
	return copy(address, to, count, 0, true);
}

/* Write as an instruction of the Guest would: a store to two pages is done completely or not at all. */
bool guest_store(u32 address, const void *from, u32 count)
{
	return guest_may_write(address, count) && copy(address, (void *)(uintptr_t)from, count, FAULT_W, true);
}

void guest_write(u32 address, const void *from, u32 count)
{
	if (!guest_try_write(address, from, count))
		kill_guest("cannot write %u bytes at %#x", count, address);
}
