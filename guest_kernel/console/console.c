/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console. Until the virtio device is found, text goes out as early text: NOTIFY with a string's address.
 * Output is gathered up to the end of a line; each buffer sent is one kick. Input stays in the Host's used ring
 * until it is read, so a slow reader loses nothing.
 *
 * Read next: line.c.
 */
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/memory.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/console/text.h"
#include "guest_kernel/console/virtio.h"

#define RECEIVE  0
#define TRANSMIT 1
#define BUFFERS  8
#define BUFFER_BYTES (PAGE / BUFFERS)
#define EARLY_PIECE  16 /* what a Host may expect at a time */

static struct device device;
static bool ready;

static char early[EARLY_PIECE + 1];
static u32 early_length;

static u32 sending; /* physical: a frame of BUFFERS buffers */
static u32 filled;  /* bytes in the buffer at hand */
static u16 at_hand;
static u32 in_flight;

static u32 receiving;
static bool have;   /* a received buffer is being read: */
static u16 have_id;
static u32 have_bytes, have_read;

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
	if (early_length == EARLY_PIECE || character == '\n')
		early_flush();
}

static void send(void)
{
	struct queue *queue = &device.queues[TRANSMIT];
	u16 id;
	u32 bytes;
	if (!filled)
		return;
	queue_post(queue, at_hand, sending + at_hand * BUFFER_BYTES, filled, false);
	filled = 0;
	in_flight++;
	at_hand = (at_hand + 1) % BUFFERS;
	queue_kick(queue);
	/* The Host takes them in order: the oldest, which is to be filled next, comes back first. */
	while (in_flight == BUFFERS || queue_has_used(queue)) {
		if (queue_take(queue, &id, &bytes))
			in_flight--;
	}
}

void console_write(const char *text, u32 count)
{
	u32 flags = irq_save(); /* handlers print too */
	for (u32 i = 0; i < count; i++) {
		if (!ready) {
			early_write(text[i]);
			continue;
		}
		((char *)virtual(sending + at_hand * BUFFER_BYTES))[filled++] = text[i];
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

static void arrived(void)
{
	task_wake(&device);
}

static void post_input(u16 id)
{
	queue_post(&device.queues[RECEIVE], id, receiving + id * BUFFER_BYTES, BUFFER_BYTES, true);
}

void console_init(void)
{
	if (!virtio_find(VIRTIO_CONSOLE, 2, &device))
		return;
	early_flush();
	sending = frame_need();
	receiving = frame_need();
	queue_no_interrupt(&device.queues[TRANSMIT]);
	for (u16 id = 0; id < BUFFERS; id++)
		post_input(id);
	virtio_started(&device);
	irq_set_handler(device.queues[RECEIVE].irq, arrived);
	queue_kick(&device.queues[RECEIVE]);
	ready = true;
}

bool console_has_input(void)
{
	return ready;
}

struct device *console_device(void)
{
	return ready ? &device : NULL;
}

int console_read(void)
{
	struct queue *queue = &device.queues[RECEIVE];
	if (!ready)
		return -1;
	console_flush();
	u32 flags = irq_save(); /* no interrupt between the look and the wait */
	while (!have || have_read == have_bytes) {
		if (have) {
			have = false;
			post_input(have_id);
			queue_kick(queue);
		}
		have_read = 0;
		if (queue_take(queue, &have_id, &have_bytes))
			have = true;
		else
			task_wait(&device);
	}
	int byte = ((u8 *)virtual(receiving + have_id * BUFFER_BYTES))[have_read++];
	irq_restore(flags);
	return byte;
}
