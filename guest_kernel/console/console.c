/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console. Before its device is found, text goes to the early console. Output is buffered up to the end of a line,
 * and each buffer costs one kick. Input stays in the used ring until it is read, so a slow reader loses nothing.
 *
 * Read next: line.c.
 * Next in the book: guest_kernel/drivers/block.c.
 */
#include "guest_kernel/console/console.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/console/early.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/tasks/clock.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define RECEIVE  0
#define TRANSMIT 1
#define QUEUES   2
#define BUFFERS  8
#define BUFFER_BYTES (PAGE_SIZE / BUFFERS)

static struct virtio_device *device; /* NULL: there is none yet */

/* Output: a frame of BUFFERS buffers. */
static char *transmit;
static u32 filling; /* the buffer that text is added to */
static u32 filled;  /* bytes in it */
static u32 in_flight;

/* Input: the same, and the buffer that is being read. */
static u8 *receive;
static u8 *reading;
static u32 reading_bytes, read_bytes;

/* Waits until at most so many buffers are with the Host, which uses them in order: the next one to fill comes back first. */
static void take_back(u32 most)
{
	struct virtqueue *queue = &device->queues[TRANSMIT];
	u32 bytes;
	while (in_flight > most || virtqueue_has_used(queue)) {
		if (virtqueue_get(queue, &bytes))
			in_flight--;
	}
}

static void send(void)
{
	struct virtqueue *queue = &device->queues[TRANSMIT];
	struct virtio_buffer buffer = { transmit + filling * BUFFER_BYTES, filled, false };
	if (!filled)
		return;
	virtqueue_add(queue, &buffer, 1);
	filled = 0;
	in_flight++;
	filling = (filling + 1) % BUFFERS;
	virtio_kick(device, TRANSMIT);
	take_back(BUFFERS - 1);
}

void console_write(const char *text, u32 count)
{
	u32 flags = irq_save(); /* interrupt handlers print too */
	for (u32 i = 0; i < count; i++) {
		if (!device) {
			early_write(text[i]);
			continue;
		}
		transmit[filling * BUFFER_BYTES + filled++] = text[i];
		if (text[i] == '\n' || filled == BUFFER_BYTES)
			send();
	}
	irq_restore(flags);
}

void console_flush(void)
{
	u32 flags = irq_save();
	if (device)
		send();
	else
		early_flush();
	irq_restore(flags);
}

void console_drain(void)
{
	u32 flags = irq_save();
	console_flush();
	if (in_flight)
		take_back(0);
	irq_restore(flags);
}

const struct print_sink console_sink = { console_write, console_flush };

static void add_input_buffer(void *start)
{
	struct virtio_buffer buffer = { start, BUFFER_BYTES, true };
	virtqueue_add(&device->queues[RECEIVE], &buffer, 1);
}

void console_init(void)
{
	struct virtio_device *found = virtio_find(VIRTIO_CONSOLE, 0);
	if (!found || !virtio_open(found, QUEUES, CONSOLE_FEATURE_SIZE))
		return;
	early_flush();
	device = found;
	in_flight = filled = filling = 0;
	reading = NULL;
	if (!transmit)
		transmit = virtual(frame_need());
	virtqueue_disable_interrupts(&device->queues[TRANSMIT]);
	if (!receive)
		receive = virtual(frame_need());
	for (u32 i = 0; i < BUFFERS; i++)
		add_input_buffer(receive + i * BUFFER_BYTES);
	virtio_kick(device, RECEIVE);
}

bool console_has_input(void)
{
	return device;
}

struct virtio_device *console_device(void)
{
	return device;
}

int console_read(void)
{
	if (!device)
		return -1;
	console_flush();
	while (!reading || read_bytes == reading_bytes) {
		if (reading) {
			add_input_buffer(reading);
			virtio_kick(device, RECEIVE);
		}
		read_bytes = 0;
		reading = virtqueue_get(&device->queues[RECEIVE], &reading_bytes);
		if (!reading)
			virtio_wait(device, RECEIVE, CLOCK_NEVER);
	}
	return reading[read_bytes++];
}
