/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration space. */
#ifndef PCI_H
#define PCI_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define PCI_SLOT_COUNT 32

#define PCI_VENDOR         0x00
#define PCI_DEVICE         0x02
#define PCI_COMMAND        0x04
#define PCI_COMMAND_MEMORY 2
#define PCI_COMMAND_MASTER 4
#define PCI_STATUS         0x06
#define PCI_STATUS_LIST    0x10 /* there are capabilities */
#define PCI_BAR0           0x10
#define PCI_CAPABILITIES   0x34
#define PCI_INTERRUPT_LINE 0x3C
#define PCI_VENDOR_VIRTIO  0x1AF4
#define PCI_DEVICE_VIRTIO  0x1040 /* and the device's type: virtio 1.x without the legacy interface */

/* A capability of a virtio function: VIRTIO 1.2, section 4.1.4. */
#define VIRTIO_CAPABILITY_VENDOR 9
#define VIRTIO_CAPABILITY_COMMON 1
#define VIRTIO_CAPABILITY_NOTIFY 2
#define VIRTIO_CAPABILITY_ISR    3
#define VIRTIO_CAPABILITY_DEVICE 4
#define VIRTIO_CAPABILITY_WINDOW 5

struct virtio_capability {
	u32 place; /* in configuration space */
	u32 bar;
	u32 offset; /* in the BAR */
	u32 bytes;
};

bool pci_present(void);
u32 pci_read(u32 slot, u32 offset, u32 size);
void pci_write(u32 slot, u32 offset, u32 value, u32 size);
u32 pci_virtio_type(u32 slot); /* 0: no virtio device is there */
/* False: the function has no capability of this kind. */
bool pci_virtio_capability(u32 slot, u32 kind, struct virtio_capability *found);

#endif
