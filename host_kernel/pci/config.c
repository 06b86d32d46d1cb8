/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration space, by mechanism 1.  Source: PCI Local Bus 3.0, 3.2.2.3.2; virtio 1.2, 4.1.4.9 for the window, a
 * capability through which configuration space reaches BAR 0.  Read before: functions.c.  Read next: registers.c.
 * Next in the book: registers.c.
 */
#include "host_kernel/pci/pci.h"
#include "host_kernel/instruction/instruction.h"

#define DATA_PORT 0xCFCu
#define ENABLE    0x80000000u
#define OTHER_BUS_OR_FUNCTION 0x00FF0700u
#define WINDOW_BAR    4 /* in the capability */
#define WINDOW_OFFSET 8
#define WINDOW_LENGTH 12
#define WINDOW_DATA   16

static u32 address_register;

static u32 word_at(const u8 *config, u32 at)
{
	return *(const u32 *)(config + at);
}

/* The slot that the address register names, if it is there and the access is within the data register. */
static u32 addressed(u16 port, u32 size, u32 *at)
{
	u32 slot = address_register >> 11 & (PCI_SLOTS - 1);

	*at = (address_register & 0xFC) | port % 4;
	if (port < DATA_PORT || port % 4 + size > 4 || machine.bus != BUS_PCI || !(address_register & ENABLE) ||
	    (address_register & OTHER_BUS_OR_FUNCTION) || !pci_function(slot))
		return NO_SLOT;
	return slot;
}

/* Does an access to configuration space reach a register of BAR 0 through the window, and which? */
static bool window_open(const struct pci_function *function, u32 at, u32 *offset, u32 *length)
{
	u32 window = function->window;

	if (!window || at != window + WINDOW_DATA || window > sizeof(function->config) - WINDOW_DATA - 4)
		return false;
	*offset = word_at(function->config, window + WINDOW_OFFSET);
	*length = word_at(function->config, window + WINDOW_LENGTH);
	return !function->config[window + WINDOW_BAR];
}

u32 pci_in(u16 port, u32 size)
{
	struct pci_function *function;
	u32 at, offset, length, value = 0, slot = addressed(port, size, &at);

	if (machine.bus == BUS_PCI && port == PCI_PORTS && size == 4)
		return address_register;
	if (slot == NO_SLOT)
		return mask_of(size);
	function = pci_function(slot);
	if (window_open(function, at, &offset, &length))
		*(u32 *)(function->config + at) = bar_read(slot, offset, length);
	for (u32 byte = 0; byte < size; byte++)
		value |= (u32)function->config[at + byte] << byte * 8;
	return value;
}

void pci_out(u16 port, u32 value, u32 size)
{
	struct pci_function *function;
	u32 at, offset, length, slot = addressed(port, size, &at);

	if (port == PCI_PORTS && size == 4)
		address_register = value;
	if (slot == NO_SLOT)
		return;
	function = pci_function(slot);
	for (u32 byte = 0; byte < size; byte++, value >>= 8) {
		u8 writable = function->writable[at + byte];

		function->config[at + byte] = (function->config[at + byte] & ~writable) | (value & writable);
	}
	pci_changed(slot);
	if (window_open(function, at, &offset, &length))
		bar_write(slot, offset, length, word_at(function->config, at));
}
