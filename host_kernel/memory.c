/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's memory as the Host kernel may touch it: always checked first, so that a Guest can never send us
 * to an address that is not its own.  Physical addresses are the Guest's; walk() (page_tables.c) turns virtual ones.
 */
#include "shadow.h"

/* A pointer to count bytes of Guest-physical memory; what names them if the Guest must die for it. */
void *guest_physical(u32 address, u32 count, const char *what)
{
	if (!guest_range(address, count))
		kill_guest("%s at physical %#x is beyond the Guest's memory (%#x)", what, address, guest.limit);
	return (void *)(machine.guest_base + address);
}

struct guest_fault guest_fault;

/* May this page be accessed so?  False: guest_fault is the page fault that such an access deserves. */
static bool allowed(u32 address, u32 access, u32 *entry)
{
	u32 unused, error;

	if (walk(address, access, entry, &unused, &error))
		return true;
	guest_fault = (struct guest_fault){ address, error };
	return false;
}

/*
 * Copy between us and the Guest's virtual memory, a page at a time; false where a page does not allow it.  Where there is
 * no memory: false too, or (absent) what is written is lost and ones are read.
 */
static bool copy(u32 address, void *ours, u32 count, u32 access, bool absent)
{
	u8 *next = ours;

	while (count) {
		u32 entry, chunk = PAGE_BYTES - address % PAGE_BYTES;
		u8 *theirs = mapped(address, access & FAULT_W);

		if (chunk > count)
			chunk = count;
		if (!theirs) {
			if (!allowed(address, access, &entry))
				return false;
			if (!guest_frame_valid(entry) && !absent)
				return false;
			if (guest_frame_valid(entry))
				theirs = (u8 *)(machine.guest_base + (entry & ~(PAGE_BYTES - 1)) + address % PAGE_BYTES);
		}
		if (!theirs && (access & FAULT_W))
			;
		else if (!theirs)
			memset(next, 0xFF, chunk);
		else if (access & FAULT_W)
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
	return copy(address, to, count, 0, false);
}

bool guest_try_write(u32 address, const void *from, u32 count)
{
	return copy(address, (void *)(uintptr_t)from, count, FAULT_W, false);
}

/* Could the Guest write to all of it? */
bool guest_may_write(u32 address, u32 count)
{
	u32 entry, last = address + count - 1;

	return allowed(address, FAULT_W, &entry) &&
	       (!((address ^ last) & ~(PAGE_BYTES - 1)) || allowed(last & ~(PAGE_BYTES - 1), FAULT_W, &entry));
}

/* As an instruction of the Guest's would. */
bool guest_load(void *to, u32 address, u32 count)
{
	return copy(address, to, count, 0, true);
}

/* A store to two pages is made whole or not at all. */
bool guest_store(u32 address, const void *from, u32 count)
{
	return guest_may_write(address, count) && copy(address, (void *)(uintptr_t)from, count, FAULT_W, true);
}

void guest_write(u32 address, const void *from, u32 count)
{
	if (!guest_try_write(address, from, count))
		kill_guest("cannot write %u bytes at %#x", count, address);
}
