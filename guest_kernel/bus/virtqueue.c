/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A split virtqueue. Both buses use the same layout: a legacy ring is one piece whose used part is on a page of its
 * own, and a ring of virtio 1.x may be anywhere, so that the same piece serves with a smaller alignment.
 *
 * Read next: device_page.c, pci_virtio.c.
 * Next in the book: device.h.
 */
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/bus/vring.h"
#include "guest_kernel/cpu/hypercall.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* For the compiler: the processor keeps stores in order. */
static void barrier(void)
{
	__asm__ volatile("" : : : "memory");
}

/* After each of the two rings there is an event index of 16 bits. */
static u32 used_offset(u32 size, u32 align)
{
	u32 avail_end = size * sizeof(struct vring_desc) + sizeof(struct vring_avail) + (size + 1) * sizeof(u16);
	return (avail_end + align - 1) & ~(align - 1);
}

u32 virtqueue_bytes(u32 size, u32 align)
{
	return used_offset(size, align) + sizeof(struct vring_used) + size * sizeof(struct vring_used_entry) + sizeof(u16);
}

void virtqueue_init(struct virtqueue *queue, u16 number, u16 size, void *ring, u32 align)
{
	char *start = ring;
	queue->number = number;
	queue->size = queue->free_count = size;
	queue->free = 0;
	queue->descs = (volatile struct vring_desc *)start;
	queue->avail = (volatile struct vring_avail *)(start + size * sizeof(struct vring_desc));
	queue->used = (volatile struct vring_used *)(start + used_offset(size, align));
	queue->last_used = queue->used->index;
	for (u32 i = 0; i < size; i++)
		queue->descs[i].next = (u16)(i + 1);
}

bool virtqueue_add(struct virtqueue *queue, const struct virtio_buffer *buffers, u32 count)
{
	u16 head = queue->free, index = queue->avail->index;
	if (!count || count > queue->free_count)
		return false;
	for (u32 i = 0; i < count; i++) {
		volatile struct vring_desc *desc = &queue->descs[queue->free];
		desc->address = physical(buffers[i].start);
		desc->bytes = buffers[i].bytes;
		desc->flags = (u16)((buffers[i].device_writes ? DESC_WRITE : 0) | (i + 1 < count ? DESC_NEXT : 0));
		queue->free = desc->next;
	}
	queue->free_count = (u16)(queue->free_count - count);
	queue->avail->ring[index % queue->size] = head;
	barrier();
	queue->avail->index = (u16)(index + 1);
	return true;
}

bool virtqueue_wants_kick(const struct virtqueue *queue)
{
	/* The device sees the new index before its flags are read here, or it would wait for a kick that never comes. */
	__asm__ volatile("lock; addl $0, (%%esp)" : : : "memory", "cc");
	return !(queue->used->flags & USED_NO_NOTIFY);
}

bool virtqueue_has_used(const struct virtqueue *queue)
{
	barrier();
	return queue->used->index != queue->last_used;
}

static void free_chain(struct virtqueue *queue, u16 head)
{
	u16 last = head, count = 1;
	for (; queue->descs[last].flags & DESC_NEXT; count++)
		last = queue->descs[last].next;
	queue->descs[last].next = queue->free;
	queue->free = head;
	queue->free_count = (u16)(queue->free_count + count);
}

void *virtqueue_get(struct virtqueue *queue, u32 *bytes)
{
	if (!virtqueue_has_used(queue))
		return NULL;
	volatile const struct vring_used_entry *entry = &queue->used->ring[queue->last_used % queue->size];
	u16 head = (u16)entry->id;
	*bytes = entry->bytes;
	void *start = virtual((u32)queue->descs[head].address);
	free_chain(queue, head);
	queue->last_used++;
	return start;
}

void virtqueue_disable_interrupts(struct virtqueue *queue)
{
	queue->avail->flags = AVAIL_NO_INTERRUPT;
}
