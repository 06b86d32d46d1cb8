/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The emergency write goes through configuration space, by the capability that is a window into a BAR: nothing has to
 * be mapped for it. Source: VIRTIO 1.2, section 4.1.4.9 (the window) and 5.3.4 (emerg_wr).
 *
 * Read next: guest_kernel/console/early.c.
 */
#include "guest_kernel/bus/emergency.h"
#include "guest_kernel/bus/pci.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define TYPE_CONSOLE  3
#define EMERGENCY     8 /* emerg_wr, in the device's configuration */
#define WINDOW_BAR    4 /* in the capability */
#define WINDOW_OFFSET 8
#define WINDOW_BYTES  12
#define WINDOW_DATA   16

static u32 console_slot, window_place;

bool emergency_find(void)
{
	struct virtio_capability window, config;
	if (!pci_present())
		return false;
	for (u32 slot = 0; slot < PCI_SLOT_COUNT; slot++) {
		if (pci_virtio_type(slot) != TYPE_CONSOLE ||
		    !pci_virtio_capability(slot, VIRTIO_CAPABILITY_WINDOW, &window) ||
		    !pci_virtio_capability(slot, VIRTIO_CAPABILITY_DEVICE, &config) ||
		    config.bytes < EMERGENCY + 4)
			continue;
		pci_write(slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
		pci_write(slot, window.place + WINDOW_BAR, config.bar, 1);
		pci_write(slot, window.place + WINDOW_OFFSET, config.offset + EMERGENCY, 4);
		pci_write(slot, window.place + WINDOW_BYTES, 4, 4);
		console_slot = slot;
		window_place = window.place;
		return true;
	}
	return false;
}

void emergency_write(char character)
{
	pci_write(console_slot, window_place + WINDOW_DATA, (u8)character, 4);
}
