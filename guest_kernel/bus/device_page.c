/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device page, just above RAM: a descriptor for each device, and rings where the Host has put them.
 * Source: switcher/layouts/lguest_abi.h, and the virtio specification's legacy interface.
 *
 * Read next: pci.c, for the other bus.
 * Next in the book: pci.c.
 */
#include "guest_kernel/bus/device_page.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define DEVICE_BYTES (LGUEST_DEVICE_PAGES * PAGE_SIZE)

struct queue_config {
	u16 size;
	u16 irq;
	u32 page;
};

static char *pages; /* where the device page and the rings are mapped */

static volatile struct lguest_device_desc *descriptor(const struct virtio_device *device)
{
	return (volatile struct lguest_device_desc *)device->page;
}

static volatile const struct queue_config *queue_configs(const struct virtio_device *device)
{
	return (volatile const struct queue_config *)(descriptor(device) + 1);
}

/* The features offered, then those accepted. */
static volatile u8 *feature_bytes(const struct virtio_device *device)
{
	return (volatile u8 *)(queue_configs(device) + descriptor(device)->num_vq);
}

/* Holds the Guest until the Launcher has looked at the descriptor. */
static void notify(const struct virtio_device *device)
{
	hypercall(LHCALL_NOTIFY, device->address, 0, 0, 0);
}

/* A device is in the state after a reset at boot; a reset in between is its status 0. */
static void begin(struct virtio_device *device)
{
	if (descriptor(device)->status) {
		descriptor(device)->status = 0;
		notify(device);
	}
	descriptor(device)->status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
}

static u32 features(struct virtio_device *device)
{
	u32 offered = 0;
	for (u32 i = 0; i < descriptor(device)->feature_len && i < sizeof(offered); i++)
		offered |= (u32)feature_bytes(device)[i] << 8 * i;
	return offered;
}

static bool accept(struct virtio_device *device, u32 wanted)
{
	u32 length = descriptor(device)->feature_len;
	for (u32 i = 0; i < length; i++)
		feature_bytes(device)[length + i] = i < sizeof(wanted) ? (u8)(wanted >> 8 * i) : 0;
	notify(device);
	return true;
}

static bool set_up_queue(struct virtio_device *device, u16 number)
{
	volatile const struct queue_config *config = queue_configs(device) + number;
	u32 size = config->size, offset = config->page * PAGE_SIZE - memory_ram();
	if (number >= descriptor(device)->num_vq || !size || size & (size - 1) || offset >= DEVICE_BYTES ||
	    virtqueue_bytes(size, LGUEST_RING_ALIGN) > DEVICE_BYTES - offset)
		return false;
	virtqueue_init(&device->queues[number], number, (u16)size, pages + offset, LGUEST_RING_ALIGN);
	device->queues[number].place = config->page * PAGE_SIZE;
	device->irqs |= 1u << config->irq % LGUEST_IRQS;
	return true;
}

static void start(struct virtio_device *device)
{
	descriptor(device)->status |= STATUS_DRIVER_OK;
}

static u8 status(struct virtio_device *device)
{
	notify(device);
	return descriptor(device)->status;
}

static void kick(struct virtio_device *device, const struct virtqueue *queue)
{
	(void)device;
	hypercall(LHCALL_NOTIFY, queue->place, 0, 0, 0);
}

/* There is no interrupt for a change of the configuration. */
static bool acknowledge(struct virtio_device *device)
{
	(void)device;
	return false;
}

static const struct transport transport = {
	"page", true, begin, features, accept, set_up_queue, start, status, kick, acknowledge,
};

u32 device_page_scan(struct virtio_device *devices, u32 most)
{
	u32 count = 0, offset = 0;
	pages = device_map(memory_ram(), DEVICE_BYTES);
	while (count < most) {
		struct virtio_device *device = &devices[count];
		device->page = (volatile u8 *)pages + offset;
		volatile const struct lguest_device_desc *desc = descriptor(device);
		u32 fixed = sizeof(*desc) + desc->num_vq * sizeof(struct queue_config) + desc->feature_len * 2u;
		if (!desc->type || offset + fixed + desc->config_len > PAGE_SIZE)
			break;
		device->type = desc->type;
		device->transport = &transport;
		device->address = memory_ram() + offset;
		device->config = device->page + fixed;
		device->config_bytes = desc->config_len;
		offset += fixed + desc->config_len;
		count++;
	}
	return count;
}
