/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A split virtqueue, from the driver's side. */
#ifndef VIRTQUEUE_H
#define VIRTQUEUE_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

struct virtqueue {
	u16 number;
	u16 size; /* entries: a power of two */
	u16 last_used; /* the index of the used ring up to which entries were consumed */
	u16 free, free_count; /* the list of free descriptors, through their next */
	u32 place; /* for the transport: what a kick names */
	volatile struct vring_desc *descs;
	volatile struct vring_avail *avail;
	volatile struct vring_used *used;
};

/* A part of a chain. It lies in RAM that the kernel maps at virtual(). */
struct virtio_buffer {
	void *start;
	u32 bytes;
	bool device_writes; /* all parts that the device reads come first */
};

u32 virtqueue_bytes(u32 size, u32 align); /* of a ring whose used part is aligned */
void virtqueue_init(struct virtqueue *queue, u16 number, u16 size, void *ring, u32 align);

/* Makes a chain available to the device. False: there are not enough descriptors. */
bool virtqueue_add(struct virtqueue *queue, const struct virtio_buffer *buffers, u32 count);
bool virtqueue_wants_kick(const struct virtqueue *queue); /* after chains were added */
bool virtqueue_has_used(const struct virtqueue *queue);
/* The start of the first buffer of a used chain, and how many bytes the device wrote to it. NULL: there is none. */
void *virtqueue_get(struct virtqueue *queue, u32 *bytes);
void virtqueue_disable_interrupts(struct virtqueue *queue);

#endif
