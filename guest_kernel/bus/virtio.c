/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of devices. A machine has one of the two buses: PCI answers at its ports, or else the device page is there.
 *
 * Read next: guest_kernel/console/console.c, guest_kernel/drivers/block.c.
 * Next in the book: guest_kernel/console/console.c.
 */
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/device_page.h"
#include "guest_kernel/bus/pci.h"
#include "guest_kernel/bus/pci_virtio.h"
#include "guest_kernel/bus/registers.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define DEVICES 32

static struct virtio_device devices[DEVICES];
static u32 count;

void virtio_init(void)
{
	count = pci_present() ? pci_virtio_scan(devices, DEVICES) : device_page_scan(devices, DEVICES);
}

u32 virtio_count(void)
{
	return count;
}

struct virtio_device *virtio_at(u32 index)
{
	return &devices[index];
}

struct virtio_device *virtio_find(u32 type, u32 number)
{
	for (u32 i = 0; i < count; i++) {
		if (devices[i].type == type && !number--)
			return &devices[i];
	}
	return NULL;
}

/* Devices may share an interrupt. It wakes the tasks that wait for the device. */
static void interrupt(u32 irq)
{
	for (u32 i = 0; i < count; i++) {
		struct virtio_device *device = &devices[i];
		if (!device->open || !(device->irqs & 1u << irq))
			continue;
		if (device->transport->acknowledge(device) && device->transport->status(device) & STATUS_NEEDS_RESET)
			device->broken = true;
		task_wake(device);
	}
}

bool virtio_open(struct virtio_device *device, u32 queues, u32 wanted)
{
	const struct transport *transport = device->transport;
	device->broken = device->open = false;
	transport->begin(device);
	device->features = transport->features(device) & wanted;
	if (!transport->accept(device, device->features))
		return false;
	for (u32 i = 0; i < queues; i++) {
		if (!transport->set_up_queue(device, (u16)i))
			return false;
	}
	device->open = true;
	for (u32 irq = 0; irq < LGUEST_IRQS; irq++) {
		if (device->irqs & 1u << irq)
			irq_set_handler(irq, interrupt);
	}
	transport->start(device);
	return true;
}

void virtio_reset(struct virtio_device *device)
{
	device->open = false;
	device->transport->begin(device);
	task_wake(device); /* who waits for it waits in vain */
}

bool virtio_works(const struct virtio_device *device)
{
	return device->open && !device->broken;
}

bool virtio_broken(struct virtio_device *device)
{
	if (device->transport->status(device) & STATUS_NEEDS_RESET)
		device->broken = true;
	return device->broken;
}

u8 virtio_config8(const struct virtio_device *device, u32 offset)
{
	return offset + 1 <= device->config_bytes ? read8(device->config + offset) : 0;
}

u16 virtio_config16(const struct virtio_device *device, u32 offset)
{
	return offset + 2 <= device->config_bytes ? read16(device->config + offset) : 0;
}

u32 virtio_config32(const struct virtio_device *device, u32 offset)
{
	return offset + 4 <= device->config_bytes ? read32(device->config + offset) : 0;
}

void virtio_kick(struct virtio_device *device, u32 queue)
{
	if (virtqueue_wants_kick(&device->queues[queue]))
		device->transport->kick(device, &device->queues[queue]);
}

bool virtio_wait(struct virtio_device *device, u32 queue, u64 deadline)
{
	u32 flags = irq_save(); /* no wake-up is lost between the check and the wait */
	while (virtio_works(device) && !virtqueue_has_used(&device->queues[queue]) && clock_ns() < deadline)
		task_wait_until(device, deadline);
	irq_restore(flags);
	return virtio_works(device) && virtqueue_has_used(&device->queues[queue]);
}
