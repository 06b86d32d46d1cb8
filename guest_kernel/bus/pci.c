/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration space, through ports 0xCF8 and 0xCFC. Source: PCI Local Bus 3.0, section 3.2.2.3.2 (configuration
 * mechanism 1) and chapter 6; VIRTIO 1.2, section 4.1.4 (capabilities).
 *
 * Read next: pci_virtio.c.
 * Next in the book: pci_virtio.c.
 */
#include "guest_kernel/bus/pci.h"
#include "guest_kernel/bus/ports.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define ADDRESS_PORT   0xCF8
#define DATA_PORT      0xCFC
#define ADDRESS_ENABLE 0x80000000
#define SLOT_SHIFT     11
#define CAPABILITIES   48 /* more do not fit */

/* Offsets in a capability of virtio. */
#define CAPABILITY_NEXT   1
#define CAPABILITY_KIND   3
#define CAPABILITY_BAR    4
#define CAPABILITY_OFFSET 8
#define CAPABILITY_BYTES  12

static void select(u32 slot, u32 offset)
{
	port_out(ADDRESS_PORT, ADDRESS_ENABLE | slot << SLOT_SHIFT | (offset & ~3u), 4);
}

bool pci_present(void)
{
	select(0, 0);
	return port_in(ADDRESS_PORT, 4) == ADDRESS_ENABLE;
}

u32 pci_read(u32 slot, u32 offset, u32 size)
{
	select(slot, offset);
	return port_in((u16)(DATA_PORT + offset % 4), size);
}

void pci_write(u32 slot, u32 offset, u32 value, u32 size)
{
	select(slot, offset);
	port_out((u16)(DATA_PORT + offset % 4), value, size);
}

u32 pci_virtio_type(u32 slot)
{
	u32 device = pci_read(slot, PCI_DEVICE, 2);
	if (pci_read(slot, PCI_VENDOR, 2) != PCI_VENDOR_VIRTIO || device < PCI_DEVICE_VIRTIO)
		return 0;
	return device - PCI_DEVICE_VIRTIO;
}

bool pci_virtio_capability(u32 slot, u32 kind, struct virtio_capability *found)
{
	if (!(pci_read(slot, PCI_STATUS, 2) & PCI_STATUS_LIST))
		return false;
	u32 place = pci_read(slot, PCI_CAPABILITIES, 1);
	for (u32 i = 0; place && i < CAPABILITIES; i++) {
		if (pci_read(slot, place, 1) == VIRTIO_CAPABILITY_VENDOR &&
		    pci_read(slot, place + CAPABILITY_KIND, 1) == kind) {
			found->place = place;
			found->bar = pci_read(slot, place + CAPABILITY_BAR, 1);
			found->offset = pci_read(slot, place + CAPABILITY_OFFSET, 4);
			found->bytes = pci_read(slot, place + CAPABILITY_BYTES, 4);
			return true;
		}
		place = pci_read(slot, place + CAPABILITY_NEXT, 1);
	}
	return false;
}
