/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device, and what a bus does for it. Source: Virtual I/O Device (VIRTIO) 1.2, sections 2.1 and 3.1.
 * Next in the book: device_page.c.
 */
#ifndef DEVICE_H
#define DEVICE_H
#include "guest_kernel/bus/virtqueue.h"
#include "switcher/layouts/virtio.h"
#include <stdbool.h>


#define VIRTIO_QUEUES 2 /* most queues of a device that this kernel drives */

struct virtio_device {
	u32 type;
	const struct transport *transport;
	u32 irqs;     /* bit n: it raises interrupt n */
	u32 features; /* accepted */
	bool open;    /* a driver uses it */
	bool broken;  /* it set NEEDS_RESET */
	struct virtqueue queues[VIRTIO_QUEUES];
	volatile u8 *config;
	u32 config_bytes;
	/* Device page: the descriptor, and its physical address. */
	volatile u8 *page;
	u32 address;
	/* PCI: the registers, by kind. */
	u32 slot;
	volatile u8 *common, *isr, *notify;
	u32 notify_multiplier;
};

struct transport {
	const char *name;
	bool legacy; /* virtio before 1.0 */
	void (*begin)(struct virtio_device *device); /* resets the device and tells that a driver takes it */
	u32 (*features)(struct virtio_device *device); /* that are offered, the first 32 */
	bool (*accept)(struct virtio_device *device, u32 features);
	bool (*set_up_queue)(struct virtio_device *device, u16 number); /* false: there is no such queue */
	void (*start)(struct virtio_device *device);
	u8 (*status)(struct virtio_device *device); /* returns when the Launcher has answered */
	void (*kick)(struct virtio_device *device, const struct virtqueue *queue);
	bool (*acknowledge)(struct virtio_device *device); /* an interrupt; true: its configuration or status changed */
};

#endif
