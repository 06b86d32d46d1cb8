/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio, as far as the tiny Guest's drivers, the Host kernel and the Launcher's devices share it.
 * Source: virtio 1.2, 2.1 (status), 2.7 (split virtqueues), 4.1.4.3 (common
 * configuration), 4.1.4.5 (ISR).
 * Read next: lguest_py/devices/pci_registers.py, guest_kernel/bus/pci_virtio.c.
 */
#ifndef SWITCHER_LAYOUTS_VIRTIO_H
#define SWITCHER_LAYOUTS_VIRTIO_H
#include "switcher/layouts/types.h"

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER      2
#define STATUS_DRIVER_OK   4
#define STATUS_FEATURES_OK 8
#define STATUS_NEEDS_RESET 0x40
#define STATUS_FAILED      0x80

#define DESC_NEXT     1 /* the chain goes on at next */
#define DESC_WRITE    2 /* the device writes to the buffer */
#define DESC_INDIRECT 4
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY     1

#define ISR_QUEUE  1
#define ISR_CONFIG 2

/* The page BAR_COMMON of a PCI function (machine.h).  The addresses are 64-bit words, in halves. */
struct virtio_pci_common {
	u32 device_feature_select;
	u32 device_feature;
	u32 driver_feature_select;
	u32 driver_feature;
	u16 config_msix_vector;
	u16 num_queues;
	u8 device_status;
	u8 config_generation;
	u16 queue_select;
	u16 queue_size;
	u16 queue_msix_vector;
	u16 queue_enable;
	u16 queue_notify_off;
	u32 queue_desc_low;
	u32 queue_desc_high;
	u32 queue_driver_low;
	u32 queue_driver_high;
	u32 queue_device_low;
	u32 queue_device_high;
};
#define COMMON(field) offsetof(struct virtio_pci_common, field)

#endif
