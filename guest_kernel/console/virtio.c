/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device page, just above RAM, and virtqueues. Source: the virtio specification's legacy interface, and
 * switcher/layouts/lguest_abi.h for the device page.
 *
 * Read next: console.c.
 */
#include "guest_kernel/console/virtio.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* A device's status. */
#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER      2
#define STATUS_DRIVER_OK   4

#define DESC_F_WRITE         2 /* the Host writes to the buffer */
#define AVAIL_F_NO_INTERRUPT 1

#define MAX_QUEUE_SIZE 32768 /* indices have 16 bits */

struct vring_desc {
	u64 address;
	u32 bytes;
	u16 flags;
	u16 next;
};

struct vring_avail {
	u16 flags;
	u16 index;
	u16 ring[];
};

struct vring_used_entry {
	u32 id;
	u32 bytes;
};

struct vring_used {
	u16 flags;
	u16 index;
	struct vring_used_entry ring[];
};

struct virtqueue_config {
	u16 size;
	u16 irq;
	u32 page;
};

/* For the compiler: the processor keeps stores in order. */
static void barrier(void)
{
	__asm__ volatile("" : : : "memory");
}

static bool virtqueue_init(struct virtqueue *queue, volatile const struct virtqueue_config *config)
{
	u32 size = config->size;
	/* After each ring there is an event index of 16 bits. */
	u32 avail_end = size * sizeof(struct vring_desc) + sizeof(struct vring_avail) + (size + 1) * sizeof(u16);
	u32 used = (avail_end + LGUEST_RING_ALIGN - 1) & ~(LGUEST_RING_ALIGN - 1u);
	u32 bytes = used + sizeof(struct vring_used) + size * sizeof(struct vring_used_entry) + sizeof(u16);
	if (!size || size > MAX_QUEUE_SIZE)
		return false;
	queue->size = size;
	queue->irq = config->irq;
	queue->address = config->page * PAGE_SIZE;
	char *ring = device_pointer(queue->address, bytes);
	if (!ring)
		return false;
	queue->descs = (volatile struct vring_desc *)ring;
	queue->avail = (volatile struct vring_avail *)(ring + size * sizeof(struct vring_desc));
	queue->used = (volatile struct vring_used *)(ring + used);
	queue->last_used = queue->used->index;
	return true;
}

bool virtio_find(u8 type, u32 queues, struct virtio_device *device)
{
	u32 offset = 0, size;
	for (;; offset += size) {
		volatile struct lguest_device_desc *desc;
		device->address = memory_ram() + offset;
		desc = device_pointer(device->address, sizeof(*desc));
		size = sizeof(*desc) + desc->num_vq * sizeof(struct virtqueue_config) + desc->feature_len * 2u +
		       desc->config_len;
		if (!desc->type || offset + size > PAGE_SIZE)
			return false;
		if (desc->type != type || desc->num_vq < queues)
			continue;
		volatile const struct virtqueue_config *configs = (volatile const struct virtqueue_config *)(desc + 1);
		volatile u8 *accepted = (volatile u8 *)(configs + desc->num_vq) + desc->feature_len;
		device->desc = desc;
		desc->status |= STATUS_ACKNOWLEDGE | STATUS_DRIVER;
		for (u32 i = 0; i < desc->feature_len; i++)
			accepted[i] = 0;
		hypercall(LHCALL_NOTIFY, device->address, 0, 0, 0); /* the end of feature negotiation */
		for (u32 i = 0; i < queues; i++) {
			if (!virtqueue_init(&device->queues[i], &configs[i]))
				return false;
		}
		return true;
	}
}

void virtio_driver_ok(struct virtio_device *device)
{
	barrier();
	device->desc->status |= STATUS_DRIVER_OK;
}

void virtqueue_add(struct virtqueue *queue, u16 id, u32 address, u32 bytes, bool host_writes)
{
	volatile struct vring_desc *desc = &queue->descs[id];
	u16 index = queue->avail->index;
	desc->address = address;
	desc->bytes = bytes;
	desc->flags = host_writes ? DESC_F_WRITE : 0;
	desc->next = 0;
	queue->avail->ring[index % queue->size] = id;
	barrier();
	queue->avail->index = index + 1;
}

void virtqueue_kick(struct virtqueue *queue)
{
	barrier();
	hypercall(LHCALL_NOTIFY, queue->address, 0, 0, 0);
}

bool virtqueue_has_used(const struct virtqueue *queue)
{
	barrier();
	return queue->used->index != queue->last_used;
}

bool virtqueue_get(struct virtqueue *queue, u16 *id, u32 *bytes)
{
	if (!virtqueue_has_used(queue))
		return false;
	*id = (u16)queue->used->ring[queue->last_used % queue->size].id;
	*bytes = queue->used->ring[queue->last_used % queue->size].bytes;
	queue->last_used++;
	return true;
}

void virtqueue_disable_interrupts(struct virtqueue *queue)
{
	queue->avail->flags = AVAIL_F_NO_INTERRUPT;
}
