/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a hostile driver writes into a queue that the device looks into at once, and into its registers. The Launcher has
 * to mark the device as broken, or on the device page to end the Guest; some of it is allowed, and the device goes on.
 *
 * Read next: device_faults.c, which runs it; lguest_py/devices/virtqueue.py, which checks.
 */
#include "guest_kernel/faults/abuse.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/pci.h"
#include "guest_kernel/bus/registers.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/vring.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/faults/victim.h"
#include "guest_kernel/memory/frames.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/virtio.h"
#include <stdbool.h>

#define SOME_BYTES   64
#define HEADER_BYTES 16
#define SECTOR_BYTES 512
#define BAR_FLAGS  0xFu
#define FAR_QUEUE  0x40 /* no device has so many; its doorbell is still in the page */
#define ALL_ONES   0xFFFFFFFFu

static u8 buffer[PAGE_SIZE];

static void describe(struct virtio_device *device, u16 id, u64 address, u32 bytes, u16 flags, u16 next)
{
	volatile struct vring_desc *desc = &victim_queue(device)->descs[id];
	desc->address = address;
	desc->bytes = bytes;
	desc->flags = flags;
	desc->next = next;
}

/* Makes a chain available, whatever it is, and kicks. */
static void offer(struct virtio_device *device, u16 head)
{
	struct virtqueue *queue = victim_queue(device);
	u16 index = queue->avail->index;
	queue->avail->ring[index % queue->size] = head;
	__asm__ volatile("" : : : "memory");
	queue->avail->index = (u16)(index + 1);
	device->transport->kick(device, queue);
}

static void one(struct virtio_device *device, u64 address, u32 bytes, u16 flags)
{
	describe(device, 0, address, bytes, flags, 0);
	offer(device, 0);
}

/* Where memory ends for a device. */
static u32 memory_end(const struct virtio_device *device)
{
	return memory_ram() + (device->transport->legacy ? LGUEST_DEVICE_PAGES * PAGE_SIZE : 0);
}

static u32 bar(const struct virtio_device *device)
{
	return device->transport->legacy ? memory_end(device) : pci_read(device->slot, PCI_BAR0, 4) & ~BAR_FLAGS;
}

static void head(struct virtio_device *device)
{
	offer(device, victim_queue(device)->size);
}

static void index(struct virtio_device *device)
{
	struct virtqueue *queue = victim_queue(device);
	describe(device, 0, physical(buffer), SOME_BYTES, 0, 0);
	queue->avail->index = (u16)(queue->avail->index + queue->size + 1);
	device->transport->kick(device, queue);
}

static void loop(struct virtio_device *device)
{
	describe(device, 1, physical(buffer), SOME_BYTES, DESC_NEXT, 0);
	describe(device, 0, physical(buffer), SOME_BYTES, DESC_NEXT, 1);
	offer(device, 0);
}

static void next(struct virtio_device *device)
{
	describe(device, 0, physical(buffer), SOME_BYTES, DESC_NEXT, victim_queue(device)->size);
	offer(device, 0);
}

static void beyond(struct virtio_device *device)
{
	one(device, memory_end(device), SOME_BYTES, DESC_WRITE);
}

static void edge(struct virtio_device *device)
{
	one(device, memory_end(device) - SOME_BYTES + 1, SOME_BYTES, DESC_WRITE);
}

static void high(struct virtio_device *device)
{
	one(device, 1ull << 32 | physical(buffer), SOME_BYTES, DESC_WRITE);
}

static void wrap(struct virtio_device *device)
{
	one(device, 0ull - SOME_BYTES / 2, SOME_BYTES, DESC_WRITE);
}

static void in_bar(struct virtio_device *device)
{
	one(device, bar(device), SOME_BYTES, DESC_WRITE);
}

static void huge(struct virtio_device *device)
{
	one(device, physical(buffer), ALL_ONES, DESC_WRITE);
}

static void nothing(struct virtio_device *device)
{
	one(device, physical(buffer), 0, DESC_WRITE);
}

static void order(struct virtio_device *device)
{
	describe(device, 0, physical(buffer), SOME_BYTES, DESC_WRITE | DESC_NEXT, 1);
	describe(device, 1, physical(buffer), SOME_BYTES, 0, 0);
	offer(device, 0);
}

static void indirect(struct virtio_device *device)
{
	one(device, physical(buffer), sizeof(struct vring_desc), DESC_INDIRECT);
}

/* A chain as long as the ring, each descriptor all that the kernel has mapped: longer than memory together. */
static void total(struct virtio_device *device)
{
	u16 size = victim_queue(device)->size;
	for (u16 i = 0; i < size; i++)
		describe(device, i, 0, memory_ram(), (u16)(DESC_WRITE | (i + 1 < size ? DESC_NEXT : 0)), (u16)(i + 1));
	offer(device, 0);
}

static void no_queue(struct virtio_device *device)
{
	if (device->transport->legacy)
		hypercall(LHCALL_NOTIFY, memory_end(device) - PAGE_SIZE, 0, 0, 0);
	else
		write16(device->notify + FAR_QUEUE * sizeof(u32), FAR_QUEUE);
}

static void features(struct virtio_device *device)
{
	device->transport->begin(device);
	device->transport->accept(device, ALL_ONES);
}

/* On PCI alone from here on. */

static void ready_queue(struct virtio_device *device)
{
	device->transport->begin(device);
	device->transport->accept(device, 0);
	write16(device->common + COMMON(queue_select), 0);
}

static void enable_at(struct virtio_device *device, u32 part, u32 address, u32 upper)
{
	ready_queue(device);
	write32(device->common + part, address);
	write32(device->common + part + 4, upper);
	write16(device->common + COMMON(queue_enable), 1);
	device->transport->start(device);
}

static void ring_edge(struct virtio_device *device)
{
	enable_at(device, COMMON(queue_desc_low), memory_end(device) - PAGE_SIZE / 16, 0);
}

static void ring_in_bar(struct virtio_device *device)
{
	enable_at(device, COMMON(queue_device_low), bar(device), 0);
}

static void ring_high(struct virtio_device *device)
{
	enable_at(device, COMMON(queue_device_low), physical(buffer), 1);
}

static void ring_odd(struct virtio_device *device)
{
	enable_at(device, COMMON(queue_desc_low), physical(buffer) + 1, 0);
}

static void ring_size(struct virtio_device *device)
{
	ready_queue(device);
	write16(device->common + COMMON(queue_size), 3);
	device->transport->start(device);
}

static void early_ok(struct virtio_device *device)
{
	device->transport->begin(device);
	device->transport->start(device);
}

static void changed(struct virtio_device *device)
{
	write16(device->common + COMMON(queue_select), 0);
	write32(device->common + COMMON(queue_device_low), physical(buffer));
}

static void selected(struct virtio_device *device)
{
	write16(device->common + COMMON(queue_select), 0xFFFF);
	write16(device->common + COMMON(queue_size), 8);
	write16(device->common + COMMON(queue_enable), 1);
	write32(device->common + COMMON(driver_feature_select), ALL_ONES);
	write32(device->common + COMMON(driver_feature), ALL_ONES);
}

/* Work is on its way when the device is reset: a disk's reads, or what any other device makes of some bytes. */
static void reset(struct virtio_device *device)
{
	bool reads = device->type == VIRTIO_BLOCK;
	memory_set(buffer, 0, HEADER_BYTES);
	describe(device, 0, physical(buffer), HEADER_BYTES, DESC_NEXT, 1);
	describe(device, 1, physical(buffer + SECTOR_BYTES), SECTOR_BYTES, DESC_WRITE | DESC_NEXT, 2);
	describe(device, 2, physical(buffer + HEADER_BYTES), 1, DESC_WRITE, 0);
	describe(device, 3, physical(buffer), SOME_BYTES, device->type == VIRTIO_ENTROPY ? DESC_WRITE : 0, 0);
	for (u16 i = 0; i < victim_queue(device)->size / 2; i++)
		offer(device, reads ? 0 : 3);
	device->transport->begin(device);
	device->broken = false; /* which may have come before the reset */
}

const struct abuse abuses[] = {
	{ "head", "a head that is no descriptor", head },
	{ "index", "an index further ahead than the ring is long", index },
	{ "loop", "a chain that loops", loop },
	{ "next", "a next that is no descriptor", next },
	{ "beyond", "a buffer behind the end of memory", beyond },
	{ "edge", "a buffer with one byte behind the end of memory", edge },
	{ "high", "a buffer above 4 GiB", high },
	{ "wrap", "a buffer that ends beyond the last address", wrap },
	{ "bar", "a buffer in a BAR", in_bar },
	{ "huge", "a buffer of 4 GiB", huge },
	{ "nothing", "a buffer of no bytes", nothing },
	{ "order", "a buffer to read after one to write", order },
	{ "indirect", "an indirect descriptor that was not agreed on", indirect },
	{ "total", "a chain longer than memory", total },
	{ "no-queue", "a kick of a queue that does not exist", no_queue },
	{ "features", "features that were not offered", features },
	{ "reset", "a reset in the middle of work", reset },
};
const u32 abuse_count = sizeof(abuses) / sizeof(abuses[0]);

const struct abuse pci_abuses[] = {
	{ "ring-edge", "a ring over the end of memory", ring_edge },
	{ "ring-bar", "a ring in a BAR", ring_in_bar },
	{ "ring-high", "a ring above 4 GiB", ring_high },
	{ "ring-odd", "a ring at an odd address", ring_odd },
	{ "ring-size", "a ring of three entries", ring_size },
	{ "early-ok", "DRIVER_OK before the features", early_ok },
	{ "changed", "a ring that is moved while it is used", changed },
	{ "selected", "writes to a queue and to features that do not exist", selected },
};
const u32 pci_abuse_count = sizeof(pci_abuses) / sizeof(pci_abuses[0]);
