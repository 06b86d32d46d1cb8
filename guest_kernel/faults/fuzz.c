/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `fuzz` command: random rings, for one device. What is random is near what is right, or a check in the middle of a
 * chain would never be reached. Buffers lie in a playground or outside of memory, for the kernel's own memory must live.
 *
 * Read next: guest_kernel/tests/test.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/vring.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/faults/device_faults.h"
#include "guest_kernel/faults/victim.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/tasks/clock.h"
#include "switcher/layouts/types.h"

#define PLAYGROUND (16 * PAGE_SIZE)
#define ROUNDS     100
#define USED_ENTRIES 8 /* descriptors that chains are made of: few, so that they meet */
#define WAIT_NS    (5 * (u64)NS_PER_MS)

static u8 playground[PLAYGROUND];
static u32 state;

/* The high bits of a linear congruential generator. */
static u32 random(u32 below)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % below;
}

/* One of `below` times. */
static bool rarely(u32 below)
{
	return !random(below);
}

static u64 random_address(void)
{
	if (rarely(40))
		return memory_ram() - random(64) + 32; /* at the end of memory; the last bytes of RAM are nobody's */
	if (rarely(40))
		return (u64)random(1 << 24) << 40 | random(1 << 24);
	return physical(playground) + random(PLAYGROUND / 2);
}

static u32 random_length(void)
{
	static const u32 lengths[] = { 0, 1, 7, 12, 16, 512, 4096, PLAYGROUND / 2, 0x7FFFFFFF, 0xFFFFFFFF };
	return rarely(30) ? lengths[random(sizeof(lengths) / sizeof(lengths[0]))] : 1 + random(1024);
}

static void fill(struct virtqueue *queue)
{
	for (u16 i = 0; i < USED_ENTRIES; i++) {
		volatile struct vring_desc *desc = &queue->descs[i];
		u32 bytes = random_length();
		u64 address = random_address();
		/* A long buffer in the playground would reach beyond it, into the kernel. */
		if (address < memory_ram() && address + bytes > physical(playground) + PLAYGROUND && bytes < memory_ram())
			bytes = 1 + random(PLAYGROUND / 2);
		desc->address = address;
		desc->bytes = bytes;
		desc->flags = (u16)(rarely(20) ? random(0x10000) : (rarely(2) ? DESC_NEXT : 0) | (rarely(2) ? DESC_WRITE : 0));
		desc->next = (u16)(rarely(20) ? random(0x10000) : i + 1u);
	}
	u16 add = (u16)(rarely(50) ? random(0x10000) : 1 + random(USED_ENTRIES)), index = queue->avail->index;
	for (u16 i = 0; i < USED_ENTRIES; i++)
		queue->avail->ring[(u16)(index + i) % queue->size] = (u16)(rarely(20) ? random(0x10000) : random(USED_ENTRIES));
	__asm__ volatile("" : : : "memory");
	queue->avail->index = (u16)(index + add);
}

void fuzz_command(char *arguments)
{
	struct virtio_device *device;
	const char *seed = victim_parse(&arguments, &device);
	u32 resets = 0;
	if (!seed || !text_number(seed, &state) || !device) {
		print("fuzz: give a seed and a device's number\n");
		return;
	}
	for (u32 i = 0; i < sizeof(playground); i++)
		playground[i] = (u8)random(256);
	for (u32 round = 0; round < ROUNDS; round++) {
		if (!round || device->broken) {
			victim_open(device);
			resets++;
		}
		for (u32 i = 0; i < victim_queues(device); i++) {
			fill(&device->queues[i]);
			device->transport->kick(device, &device->queues[i]);
		}
		victim_broken(device, WAIT_NS);
	}
	victim_release(device);
	print("fuzz: %u rounds, %u resets\n", ROUNDS, resets);
}
