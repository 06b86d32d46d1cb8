/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices of lguest and their virtqueues, in virtio's legacy layout. */
#ifndef VIRTIO_H
#define VIRTIO_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define VIRTIO_CONSOLE 3
#define VIRTIO_QUEUES  2 /* most queues of a device that this kernel drives */

struct lguest_device_desc;

struct virtqueue {
	u32 size;      /* entries */
	u32 irq;
	u32 address;   /* physical; NOTIFY of it is a kick */
	volatile struct vring_desc *descs;
	volatile struct vring_avail *avail;
	volatile struct vring_used *used;
	u16 last_used; /* the index of the used ring up to which entries were consumed */
};

struct virtio_device {
	u32 address; /* of its descriptor, physical */
	volatile struct lguest_device_desc *desc;
	struct virtqueue queues[VIRTIO_QUEUES];
};

/* Finds the first device of a type, negotiates no features, and sets up its virtqueues. False when there is none. */
bool virtio_find(u8 type, u32 queues, struct virtio_device *device);
void virtio_driver_ok(struct virtio_device *device); /* after the first buffers were added */

/* Makes a buffer available to the Host. id, below size, identifies it. */
void virtqueue_add(struct virtqueue *queue, u16 id, u32 address, u32 bytes, bool host_writes);
void virtqueue_kick(struct virtqueue *queue);
/* Gets a used buffer: its id and how many bytes the Host wrote. False when there is none. */
bool virtqueue_get(struct virtqueue *queue, u16 *id, u32 *bytes);
bool virtqueue_has_used(const struct virtqueue *queue);
void virtqueue_disable_interrupts(struct virtqueue *queue);

#endif
