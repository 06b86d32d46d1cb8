/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio 1.x device on PCI. Its registers are in a BAR above RAM, in one piece for each kind.
 * Source: VIRTIO 1.2, section 4.1.4.3 (common configuration), 4.1.4.4 (notification), 4.1.4.5 (ISR).
 *
 * Read next: virtio.c.
 * Next in the book: virtio.c.
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
#include "switcher/layouts/virtio.h"
#include <stdbool.h>

#define FEATURE_VERSION_1 1 /* bit 32: of the second word */
#define BAR_FLAGS         0xF
#define RING_ALIGN        4
#define RING_SIZE         128 /* the most whose ring fits into a frame */
#define NOTIFY_MULTIPLIER 16  /* in the notification capability */

static void add_status(struct virtio_device *device, u8 bits)
{
	write8(device->common + COMMON(device_status), (u8)(read8(device->common + COMMON(device_status)) | bits));
}

static void begin(struct virtio_device *device)
{
	write8(device->common + COMMON(device_status), 0);
	while (read8(device->common + COMMON(device_status)))
		;
	add_status(device, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
}

static u32 offered(struct virtio_device *device, u32 word)
{
	write32(device->common + COMMON(device_feature_select), word);
	return read32(device->common + COMMON(device_feature));
}

static u32 features(struct virtio_device *device)
{
	return offered(device, 0);
}

static bool accept(struct virtio_device *device, u32 wanted)
{
	if (!(offered(device, 1) & FEATURE_VERSION_1))
		return false;
	write32(device->common + COMMON(driver_feature_select), 0);
	write32(device->common + COMMON(driver_feature), wanted);
	write32(device->common + COMMON(driver_feature_select), 1);
	write32(device->common + COMMON(driver_feature), FEATURE_VERSION_1);
	add_status(device, STATUS_FEATURES_OK);
	return read8(device->common + COMMON(device_status)) & STATUS_FEATURES_OK;
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
	write16(common + COMMON(queue_select), number);
	u16 size = read16(common + COMMON(queue_size));
	if (!size)
		return false;
	if (size > RING_SIZE)
		write16(common + COMMON(queue_size), size = RING_SIZE);
	void *ring = queue->descs ? (void *)queue->descs : virtual(frame_need());
	memory_set(ring, 0, PAGE_SIZE);
	virtqueue_init(queue, number, size, ring, RING_ALIGN);
	write_address(device, COMMON(queue_desc_low), queue->descs);
	write_address(device, COMMON(queue_driver_low), queue->avail);
	write_address(device, COMMON(queue_device_low), queue->used);
	queue->place = read16(common + COMMON(queue_notify_off)) * device->notify_multiplier;
	write16(common + COMMON(queue_enable), 1);
	return true;
}

static void start(struct virtio_device *device)
{
	add_status(device, STATUS_DRIVER_OK);
}

static u8 status(struct virtio_device *device)
{
	return read8(device->common + COMMON(device_status));
}

static void kick(struct virtio_device *device, const struct virtqueue *queue)
{
	write16(device->notify + queue->place, queue->number);
}

static bool acknowledge(struct virtio_device *device)
{
	return read8(device->isr) & ISR_CONFIG;
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
