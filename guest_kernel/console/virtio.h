/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices of generation 1 and their virtqueues, in the legacy layout. */
#ifndef VIRTIO_H
#define VIRTIO_H
#include "guest_kernel/memory/memory.h"

#define VIRTIO_CONSOLE 3

struct queue {
	u32 size;    /* entries */
	u32 irq;
	u32 address; /* physical; NOTIFY of it is a kick */
	volatile struct queue_desc *descs;
	volatile struct queue_avail *avail;
	volatile struct queue_used *used;
	u16 seen;    /* of used */
};

struct device {
	u32 address; /* of its descriptor, physical */
	volatile struct lguest_device_desc *desc;
	struct queue queues[2];
};

/* Look for the first device of a type and start it with no features; queues are ready after it. */
bool virtio_find(u8 type, u32 queues, struct device *device);
void virtio_started(struct device *device); /* buffers are posted: the driver is ready */

/* Give the Host one buffer under a number below size. */
void queue_post(struct queue *queue, u16 id, u32 address, u32 bytes, bool host_writes);
void queue_kick(struct queue *queue);
/* A buffer the Host is done with: its number and how many bytes were written. */
bool queue_take(struct queue *queue, u16 *id, u32 *bytes);
bool queue_has_used(const struct queue *queue);
void queue_no_interrupt(struct queue *queue);

#endif
