/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtio 1.x functions on PCI. */
#ifndef PCI_VIRTIO_H
#define PCI_VIRTIO_H
#include "guest_kernel/bus/device.h"
#include "switcher/layouts/types.h"

u32 pci_virtio_scan(struct virtio_device *devices, u32 most); /* returns how many there are */

#endif
