/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device page just above RAM, and virtqueues. Source: the virtio specification's legacy interface,
 * and switcher/layouts/lguest_abi.h for the page.
 *
 * Read next: console.c.
 */
#include "guest_kernel/console/virtio.h"
#include "guest_kernel/memory/paging.h"

#define ACKNOWLEDGE 1
#define DRIVER      2
#define DRIVER_OK   4

#define DESC_HOST_WRITES 2
#define AVAIL_NO_INTERRUPT 1

struct queue_desc {
	u64 address;
	u32 bytes;
	u16 flags;
	u16 next;
};

struct queue_avail {
	u16 flags;
	u16 index;
	u16 ring[];
};

struct queue_used {
	u16 flags;
	u16 index;
	struct {
		u32 id;
		u32 bytes;
	} ring[];
};

struct queue_config {
	u16 size;
	u16 irq;
	u32 page;
};

/* The processor keeps stores in order; the compiler has to be told. */
static void barrier(void)
{
	__asm__ volatile("" : : : "memory");
}

static bool queue_init(struct queue *queue, volatile const struct queue_config *config)
{
	u32 size = config->size;
	u32 avail_end = size * sizeof(struct queue_desc) + sizeof(struct queue_avail) + (size + 1) * 2;
	u32 used = (avail_end + LGUEST_RING_ALIGN - 1) & ~(LGUEST_RING_ALIGN - 1u);
	u32 bytes = used + sizeof(struct queue_used) + size * 8 + 2;
	if (!size || size > 32768)
		return false;
	queue->size = size;
	queue->irq = config->irq;
	queue->address = config->page * PAGE;
	char *ring = device_pointer(queue->address, bytes);
	if (!ring)
		return false;
	queue->descs = (volatile struct queue_desc *)ring;
	queue->avail = (volatile struct queue_avail *)(ring + size * sizeof(struct queue_desc));
	queue->used = (volatile struct queue_used *)(ring + used);
	queue->seen = queue->used->index;
	return true;
}

bool virtio_find(u8 type, u32 queues, struct device *device)
{
	u32 offset = 0, size;
	for (;; offset += size) {
		volatile struct lguest_device_desc *desc;
		device->address = memory_ram() + offset;
		desc = device_pointer(device->address, sizeof(*desc));
		size = sizeof(*desc) + desc->num_vq * sizeof(struct queue_config) + desc->feature_len * 2u +
		       desc->config_len;
		if (!desc->type || offset + size > PAGE)
			return false;
		if (desc->type != type || desc->num_vq < queues)
			continue;
		volatile const struct queue_config *configs = (volatile const struct queue_config *)(desc + 1);
		volatile u8 *accepted = (volatile u8 *)(configs + desc->num_vq) + desc->feature_len;
		device->desc = desc;
		desc->status |= ACKNOWLEDGE | DRIVER;
		for (u32 i = 0; i < desc->feature_len; i++)
			accepted[i] = 0;
		hypercall(LHCALL_NOTIFY, device->address, 0, 0, 0); /* features are settled */
		for (u32 i = 0; i < queues; i++) {
			if (!queue_init(&device->queues[i], &configs[i]))
				return false;
		}
		return true;
	}
}

void virtio_started(struct device *device)
{
	barrier();
	device->desc->status |= DRIVER_OK;
}

void queue_post(struct queue *queue, u16 id, u32 address, u32 bytes, bool host_writes)
{
	volatile struct queue_desc *desc = &queue->descs[id];
	u16 index = queue->avail->index;
	desc->address = address;
	desc->bytes = bytes;
	desc->flags = host_writes ? DESC_HOST_WRITES : 0;
	desc->next = 0;
	queue->avail->ring[index % queue->size] = id;
	barrier();
	queue->avail->index = index + 1;
}

void queue_kick(struct queue *queue)
{
	barrier();
	hypercall(LHCALL_NOTIFY, queue->address, 0, 0, 0);
}

bool queue_has_used(const struct queue *queue)
{
	barrier();
	return queue->used->index != queue->seen;
}

bool queue_take(struct queue *queue, u16 *id, u32 *bytes)
{
	if (!queue_has_used(queue))
		return false;
	*id = (u16)queue->used->ring[queue->seen % queue->size].id;
	*bytes = queue->used->ring[queue->seen % queue->size].bytes;
	queue->seen++;
	return true;
}

void queue_no_interrupt(struct queue *queue)
{
	queue->avail->flags = AVAIL_NO_INTERRUPT;
}
