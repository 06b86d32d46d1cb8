/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `poke` command: random accesses to the registers of a PCI function, and to its configuration space, of any size
 * and at any place. Addresses of rings are chosen, for a ring that the device uses must not be the kernel's memory.
 *
 * Read next: guest_kernel/tests/test.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/pci.h"
#include "guest_kernel/bus/registers.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/faults/device_faults.h"
#include "guest_kernel/faults/random.h"
#include "guest_kernel/faults/victim.h"
#include "guest_kernel/memory/frames.h"
#include "switcher/layouts/types.h"

#define ACCESSES      500
#define RING_FIRST    0x20 /* the registers of a ring's addresses, in the common configuration */
#define RING_END      0x38
#define COMMON_BYTES  64   /* and some more than there are */
#define CONFIG_BYTES  256
#define COMMAND_BYTES 8 /* the first of configuration space, and the BARs: a BAR that is elsewhere ends the game */
#define BARS_FIRST    0x10
#define BARS_END      0x28
#define WINDOW_BYTES  20   /* of the capability through which a ring's address could be written too */

static u8 rings[4 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static u32 random_value(void)
{
	static const u32 values[] = { 0, 1, 2, 4, 7, 8, 11, 15, 64, 128, 256, 0xFFFF, 0xFFFFFFFF };
	if (rarely(4))
		return random_below(1 << 24) << random_below(9);
	return values[random_below(sizeof(values) / sizeof(values[0]))];
}

static u32 random_ring(u32 offset)
{
	if (offset % 8)
		return rarely(10) ? random_value() : 0;
	return rarely(4) ? memory_ram() - random_below(64) : physical(rings) + random_below(sizeof(rings) / 16) * 16;
}

static void write(volatile u8 *at, u32 size, u32 value)
{
	if (size == 1)
		write8(at, (u8)value);
	else if (size == 2)
		write16(at, (u16)value);
	else
		write32(at, value);
}

static void read(const volatile u8 *at, u32 size)
{
	if (size == 1)
		read8(at);
	else if (size == 2)
		read16(at);
	else
		read32(at);
}

static void poke_common(struct virtio_device *device)
{
	u32 size = 1u << random_below(3), offset = random_below(COMMON_BYTES);
	if (offset + size > RING_FIRST && offset < RING_END) {
		offset = RING_FIRST + random_below((RING_END - RING_FIRST) / 4) * 4;
		write32(device->common + offset, random_ring(offset));
	} else if (rarely(2)) {
		write(device->common + offset, size, random_value());
	} else {
		read(device->common + offset, size);
	}
}

static void poke_other(struct virtio_device *device)
{
	volatile u8 *const kinds[] = { device->isr, device->config, device->notify };
	volatile u8 *page = kinds[random_below(3)];
	u32 size = 1u << random_below(3), offset = random_below(rarely(4) ? PAGE_SIZE - 4 : 64);
	if (!page)
		return;
	if (rarely(2))
		write(page + offset, size, random_value());
	else
		read(page + offset, size);
}

static void poke_config(struct virtio_device *device)
{
	u32 size = 1u << random_below(3), offset = random_below(CONFIG_BYTES / size) * size;
	struct virtio_capability window = { 0 };
	pci_virtio_capability(device->slot, VIRTIO_CAPABILITY_WINDOW, &window);
	if (offset < COMMAND_BYTES || (offset + size > BARS_FIRST && offset < BARS_END) ||
	    (offset + size > window.place && offset < window.place + WINDOW_BYTES))
		pci_read(device->slot, offset, size);
	else
		pci_write(device->slot, offset, random_value(), size);
}

void poke_command(char *arguments)
{
	struct virtio_device *device;
	const char *text = victim_parse(&arguments, &device);
	u32 seed, resets = 0;
	if (!text || !text_number(text, &seed) || !device || device->transport->legacy) {
		print("poke: give a seed and the number of a device on PCI\n");
		return;
	}
	random_seed(seed);
	for (u32 i = 0; i < ACCESSES; i++) {
		if (i % 50 == 0) {
			victim_open(device);
			resets++;
		}
		if (rarely(3))
			poke_other(device);
		else if (rarely(10))
			poke_config(device);
		else
			poke_common(device);
	}
	victim_release(device);
	print("poke: %u accesses, %u resets\n", ACCESSES, resets);
}
