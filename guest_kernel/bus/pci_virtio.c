/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio 1.x device on PCI. Its registers are in a BAR above RAM, in one piece for each kind.
 * Source: VIRTIO 1.2, section 4.1.4.3 (common configuration), 4.1.4.4 (notification), 4.1.4.5 (ISR).
 *
 * Read next: virtio.c.
 */
#include "guest_kernel/bus/pci_virtio.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/pci.h"
#include "guest_kernel/bus/registers.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* The common configuration. */
#define OFFERED_SELECT    0x00
#define OFFERED           0x04
#define ACCEPTED_SELECT   0x08
#define ACCEPTED          0x0C
#define STATUS            0x14
#define QUEUE_SELECT      0x16
#define QUEUE_SIZE        0x18
#define QUEUE_ENABLE      0x1C
#define QUEUE_NOTIFY      0x1E
#define QUEUE_DESCRIPTORS 0x20 /* the address of each part: two words */
#define QUEUE_AVAILABLE   0x28
#define QUEUE_USED        0x30

#define FEATURE_VERSION_1 1 /* bit 32: of the second word */
#define ISR_CHANGED       2
#define BAR_FLAGS         0xF
#define RING_ALIGN        4
#define RING_SIZE         128 /* the most whose ring fits into a frame */
#define NOTIFY_MULTIPLIER 16  /* in the notification capability */

static void add_status(struct virtio_device *device, u8 bits)
{
	write8(device->common + STATUS, (u8)(read8(device->common + STATUS) | bits));
}

static void begin(struct virtio_device *device)
{
	write8(device->common + STATUS, 0);
	while (read8(device->common + STATUS))
		;
	add_status(device, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
}

static u32 offered(struct virtio_device *device, u32 word)
{
	write32(device->common + OFFERED_SELECT, word);
	return read32(device->common + OFFERED);
}

static u32 features(struct virtio_device *device)
{
	return offered(device, 0);
}

static bool accept(struct virtio_device *device, u32 wanted)
{
	if (!(offered(device, 1) & FEATURE_VERSION_1))
		return false;
	write32(device->common + ACCEPTED_SELECT, 0);
	write32(device->common + ACCEPTED, wanted);
	write32(device->common + ACCEPTED_SELECT, 1);
	write32(device->common + ACCEPTED, FEATURE_VERSION_1);
	add_status(device, STATUS_FEATURES_OK);
	return read8(device->common + STATUS) & STATUS_FEATURES_OK;
}

static void write_address(struct virtio_device *device, u32 part, const volatile void *address)
{
	write32(device->common + part, physical(address));
	write32(device->common + part + 4, 0);
}

/* A device that is opened again keeps the frames of its rings. */
static bool set_up_queue(struct virtio_device *device, u16 number)
{
	struct virtqueue *queue = &device->queues[number];
	volatile u8 *common = device->common;
	write16(common + QUEUE_SELECT, number);
	u16 size = read16(common + QUEUE_SIZE);
	if (!size)
		return false;
	if (size > RING_SIZE)
		write16(common + QUEUE_SIZE, size = RING_SIZE);
	void *ring = queue->descs ? (void *)queue->descs : virtual(frame_need());
	memory_set(ring, 0, PAGE_SIZE);
	virtqueue_init(queue, number, size, ring, RING_ALIGN);
	write_address(device, QUEUE_DESCRIPTORS, queue->descs);
	write_address(device, QUEUE_AVAILABLE, queue->avail);
	write_address(device, QUEUE_USED, queue->used);
	queue->place = read16(common + QUEUE_NOTIFY) * device->notify_multiplier;
	write16(common + QUEUE_ENABLE, 1);
	return true;
}

static void start(struct virtio_device *device)
{
	add_status(device, STATUS_DRIVER_OK);
}

static u8 status(struct virtio_device *device)
{
	return read8(device->common + STATUS);
}

static void kick(struct virtio_device *device, const struct virtqueue *queue)
{
	write16(device->notify + queue->place, queue->number);
}

static bool acknowledge(struct virtio_device *device)
{
	return read8(device->isr) & ISR_CHANGED;
}

static const struct transport transport = {
	"pci", false, begin, features, accept, set_up_queue, start, status, kick, acknowledge,
};

/* Maps the registers of one kind. NULL: there are none. */
static volatile u8 *map(u32 slot, u32 kind, struct virtio_capability *found)
{
	if (!pci_virtio_capability(slot, kind, found))
		return NULL;
	u32 bar = pci_read(slot, PCI_BAR0 + 4 * found->bar, 4) & ~(u32)BAR_FLAGS;
	return bar ? device_map(bar + found->offset, found->bytes) : NULL;
}

static bool find(u32 slot, struct virtio_device *device)
{
	struct virtio_capability found = { 0 };
	device->common = map(slot, VIRTIO_CAPABILITY_COMMON, &found);
	device->isr = map(slot, VIRTIO_CAPABILITY_ISR, &found);
	device->notify = map(slot, VIRTIO_CAPABILITY_NOTIFY, &found);
	if (!device->common || !device->isr || !device->notify)
		return false;
	device->notify_multiplier = pci_read(slot, found.place + NOTIFY_MULTIPLIER, 4);
	device->config = map(slot, VIRTIO_CAPABILITY_DEVICE, &found);
	device->config_bytes = device->config ? found.bytes : 0;
	device->transport = &transport;
	device->slot = slot;
	device->irqs = 1u << pci_read(slot, PCI_INTERRUPT_LINE, 1) % LGUEST_IRQS;
	pci_write(slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	return true;
}

u32 pci_virtio_scan(struct virtio_device *devices, u32 most)
{
	u32 count = 0;
	for (u32 slot = 0; slot < PCI_SLOT_COUNT && count < most; slot++) {
		devices[count].type = pci_virtio_type(slot);
		if (devices[count].type && find(slot, &devices[count]))
			count++;
	}
	return count;
}
