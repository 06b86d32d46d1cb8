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
#include "guest_kernel/faults/random.h"
#include "guest_kernel/faults/victim.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/tasks/clock.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define PLAYGROUND (16 * PAGE_SIZE)
#define ROUNDS     100
#define DESCRIPTORS 16 /* that chains are made of: few, so that they meet */
#define CHAIN       4
#define HEADER      16 /* bytes */
#define UNUSUAL     50 /* one of so many things is not as it should be */
#define WAIT_NS    (5 * (u64)NS_PER_MS)

/* What a queue's chains are for. */
enum direction { IN, OUT, BOTH };

static u8 playground[PLAYGROUND];

static u64 random_address(void)
{
	if (rarely(4 * UNUSUAL))
		return memory_ram() - random_below(64) + 32; /* at the end of memory; the last bytes of RAM are nobody's */
	if (rarely(4 * UNUSUAL))
		return (u64)random_below(1 << 24) << 40 | random_below(1 << 24);
	return physical(playground) + random_below(PLAYGROUND / 2);
}

static u32 random_length(u32 usual)
{
	static const u32 lengths[] = { 0, 1, 7, 15, 512, 4096, PLAYGROUND / 2, 0x7FFFFFFF, 0xFFFFFFFF };
	return rarely(UNUSUAL) ? lengths[random_below(sizeof(lengths) / sizeof(lengths[0]))] : usual;
}

/* Chains of CHAIN descriptors: a header to read, then data of one kind, then something short to write. */
static void describe(volatile struct vring_desc *desc, u16 i, bool writes)
{
	bool first = i % CHAIN == 0, last = i % CHAIN == CHAIN - 1;
	u32 bytes = random_length(first ? HEADER : last ? 1 + random_below(8) : 1 + random_below(2048));
	u64 address = random_address();
	/* What begins in the playground and is long would reach the kernel behind it. */
	if (address < memory_ram() && bytes < memory_ram() && address + bytes > physical(playground) + PLAYGROUND)
		bytes = 1 + random_below(PLAYGROUND / 2);
	desc->address = address;
	desc->bytes = bytes;
	desc->flags = (u16)((last ? 0 : DESC_NEXT) | (writes ? DESC_WRITE : 0));
	desc->next = (u16)(i + 1);
	if (rarely(UNUSUAL))
		desc->flags = (u16)random_below(0x10000);
	if (rarely(UNUSUAL))
		desc->next = (u16)random_below(rarely(2) ? 0x10000 : DESCRIPTORS);
}

static enum direction usual(const struct virtio_device *device, u32 queue)
{
	if (victim_queues(device) == 1)
		return device->type == VIRTIO_ENTROPY ? IN : BOTH;
	return queue ? OUT : IN;
}

static void fill(struct virtqueue *queue, enum direction direction)
{
	bool writes = false;
	if (rarely(UNUSUAL))
		direction = (enum direction)random_below(BOTH + 1);
	for (u16 i = 0; i < DESCRIPTORS; i++) {
		bool last = i % CHAIN == CHAIN - 1;
		writes = direction == IN || (direction == BOTH && i % CHAIN && (writes || last || rarely(2)));
		describe(&queue->descs[i], i, writes);
	}
	u16 add = (u16)(rarely(2 * UNUSUAL) ? random_below(0x10000) : 1 + random_below(4)), index = queue->avail->index;
	for (u16 i = 0; i < DESCRIPTORS; i++) {
		u32 head = rarely(UNUSUAL) ? random_below(0x10000) : random_below(DESCRIPTORS / CHAIN) * CHAIN;
		queue->avail->ring[(u16)(index + i) % queue->size] = (u16)head;
	}
	__asm__ volatile("" : : : "memory");
	queue->avail->index = (u16)(index + add);
}

void fuzz_command(char *arguments)
{
	struct virtio_device *device;
	const char *text = victim_parse(&arguments, &device);
	u32 resets = 0, seed;
	if (!text || !text_number(text, &seed) || !device) {
		print("fuzz: give a seed and a device's number\n");
		return;
	}
	random_seed(seed);
	for (u32 i = 0; i < sizeof(playground); i++)
		playground[i] = i % sizeof(u32) ? 0 : (u8)random_below(rarely(4) ? 256 : 16); /* kinds of requests */
	for (u32 round = 0; round < ROUNDS; round++) {
		if (!round || device->broken) {
			victim_open(device);
			resets++;
		}
		for (u32 i = 0; i < victim_queues(device); i++) {
			fill(&device->queues[i], usual(device, i));
			device->transport->kick(device, &device->queues[i]);
		}
		victim_broken(device, WAIT_NS);
	}
	victim_release(device);
	print("fuzz: %u rounds, %u resets\n", ROUNDS, resets);
}
