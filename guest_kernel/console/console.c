/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console. Before its device is found, text goes to the early console: NOTIFY with the address of a string.
 * Output is buffered up to the end of a line, and each buffer costs one kick. Input stays in the used ring until it
 * is read, so a slow reader loses nothing.
 *
 * Read next: line.c.
 */
#include "guest_kernel/console/console.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/console/virtio.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define RECEIVE  0
#define TRANSMIT 1
#define QUEUES   2
#define BUFFERS  8
#define BUFFER_BYTES (PAGE_SIZE / BUFFERS)
#define EARLY_BYTES  16 /* of text in one NOTIFY */

static struct virtio_device device;
static bool ready;

static char early[EARLY_BYTES + 1];
static u32 early_length;

/* Output: a frame of BUFFERS buffers, by its physical address. */
static u32 transmit_frame;
static u16 filling; /* the buffer that text is added to */
static u32 filled;  /* bytes in it */
static u32 in_flight;

/* Input: the same, and the buffer that is being read. */
static u32 receive_frame;
static bool reading;
static u16 reading_id;
static u32 reading_bytes, read_bytes;

static void early_flush(void)
{
	if (!early_length)
		return;
	early[early_length] = 0;
	early_length = 0;
	hypercall(LHCALL_NOTIFY, physical(early), 0, 0, 0);
}

static void early_write(char character)
{
	early[early_length++] = character;
	if (early_length == EARLY_BYTES || character == '\n')
		early_flush();
}

static void send(void)
{
	struct virtqueue *queue = &device.queues[TRANSMIT];
	u16 id;
	u32 bytes;
	if (!filled)
		return;
	virtqueue_add(queue, filling, transmit_frame + filling * BUFFER_BYTES, filled, false);
	filled = 0;
	in_flight++;
	filling = (filling + 1) % BUFFERS;
	virtqueue_kick(queue);
	/* The Host uses buffers in order, so the next one to fill is the first to come back. */
	while (in_flight == BUFFERS || virtqueue_has_used(queue)) {
		if (virtqueue_get(queue, &id, &bytes))
			in_flight--;
	}
}

void console_write(const char *text, u32 count)
{
	u32 flags = irq_save(); /* interrupt handlers print too */
	for (u32 i = 0; i < count; i++) {
		if (!ready) {
			early_write(text[i]);
			continue;
		}
		((char *)virtual(transmit_frame + filling * BUFFER_BYTES))[filled++] = text[i];
		if (text[i] == '\n' || filled == BUFFER_BYTES)
			send();
	}
	irq_restore(flags);
}

void console_flush(void)
{
	u32 flags = irq_save();
	if (ready)
		send();
	else
		early_flush();
	irq_restore(flags);
}

const struct print_sink console_sink = { console_write, console_flush };

static void input_interrupt(void)
{
	task_wake(&device);
}

static void add_input_buffer(u16 id)
{
	virtqueue_add(&device.queues[RECEIVE], id, receive_frame + id * BUFFER_BYTES, BUFFER_BYTES, true);
}

void console_init(void)
{
	if (!virtio_find(VIRTIO_CONSOLE, QUEUES, &device))
		return;
	early_flush();
	transmit_frame = frame_need();
	receive_frame = frame_need();
	virtqueue_disable_interrupts(&device.queues[TRANSMIT]);
	for (u16 id = 0; id < BUFFERS; id++)
		add_input_buffer(id);
	virtio_driver_ok(&device);
	irq_set_handler(device.queues[RECEIVE].irq, input_interrupt);
	virtqueue_kick(&device.queues[RECEIVE]);
	ready = true;
}

bool console_has_input(void)
{
	return ready;
}

struct virtio_device *console_device(void)
{
	return ready ? &device : NULL;
}

int console_read(void)
{
	struct virtqueue *queue = &device.queues[RECEIVE];
	if (!ready)
		return -1;
	console_flush();
	u32 flags = irq_save(); /* no wake-up is lost between the check and the wait */
	while (!reading || read_bytes == reading_bytes) {
		if (reading) {
			reading = false;
			add_input_buffer(reading_id);
			virtqueue_kick(queue);
		}
		read_bytes = 0;
		if (virtqueue_get(queue, &reading_id, &reading_bytes))
			reading = true;
		else
			task_wait(&device);
	}
	int byte = ((u8 *)virtual(receive_frame + reading_id * BUFFER_BYTES))[read_bytes++];
	irq_restore(flags);
	return byte;
}
