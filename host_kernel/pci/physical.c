/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One access of an emulated instruction, at a linear address, with the rights of the Guest's current ring: to a BAR, to
 * memory, or to neither.  A misaligned access is done byte by byte, so each part lies in one page.
 * Read before: registers.c.  Read next: mmio.c.
 * Next in the book: mmio.c.
 */
#include "host_kernel/pci/pci.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/print.h"
#include "host_kernel/memory/guest_physical.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/dirty.h"
#include "host_kernel/memory/walk.h"

/* False: the Guest's page tables do not allow it, and guest_fault is the page fault. */
static bool translate(u32 address, u32 access, u32 *physical)
{
	pte_t entry, unused;
	u32 error;

	if ((guest.regs->cs & 3) == 3)
		access |= FAULT_US;
	if (!walk(address, access, &entry, &unused, &error)) {
		guest_fault = (struct guest_fault){ address, error };
		return false;
	}
	*physical = entry_address(entry) | address % PAGE_BYTES;
	return true;
}

static u32 read_physical(u32 physical, u32 size)
{
	u32 offset, slot, value = 0;

	if (guest_range(physical, size)) {
		memcpy(&value, (const void *)(machine.guest_base + physical), size);
		return value;
	}
	if (is_io_page(physical))
		return personality.io_read(physical, size);
	slot = is_io_frame(physical) ? pci_find(physical, &offset) : NO_SLOT;
	return slot == NO_SLOT ? ~0u : bar_read(slot, offset, size);
}

static void write_physical(u32 physical, u32 size, u32 value)
{
	u32 offset, slot;

	if (guest_range(physical, size)) {
		memcpy((void *)(machine.guest_base + physical), &value, size);
		mark_dirty(FRAME(physical));
		mark_dirty(FRAME(physical + size - 1));
		return;
	}
	if (is_io_page(physical)) {
		personality.io_write(physical, size, value);
		return;
	}
	slot = is_io_frame(physical) ? pci_find(physical, &offset) : NO_SLOT;
	if (slot != NO_SLOT)
		bar_write(slot, offset, size, value);
}

/* Is an access of so many bytes allowed, in both pages if it has two?  *physical is where it begins. */
static bool allowed(u32 address, u32 size, u32 access, u32 *physical)
{
	u32 second = (address + size - 1) & ~(PAGE_BYTES - 1);

	if (!translate(address, access, physical))
		return false;
	return second <= address || translate(second, access, &second);
}

/* Both return false if the access faults; then nothing was read or written. */
bool io_load(u32 address, u32 size, u32 *value)
{
	u32 physical;

	if (!allowed(address, size, 0, &physical))
		return false;
	*value = 0;
	if (address % size == 0) {
		*value = read_physical(physical, size);
		return true;
	}
	for (u32 byte = 0; byte < size && translate(address + byte, 0, &physical); byte++)
		*value |= (read_physical(physical, 1) & 0xFF) << byte * 8;
	return true;
}

bool io_store(u32 address, u32 size, u32 value)
{
	u32 physical;

	if (!allowed(address, size, FAULT_W, &physical))
		return false;
	if (address % size == 0) {
		write_physical(physical, size, value);
		return true;
	}
	for (u32 byte = 0; byte < size && translate(address + byte, FAULT_W, &physical); byte++)
		write_physical(physical, 1, value >> byte * 8);
	return true;
}
