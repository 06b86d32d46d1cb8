/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Consoles behind the first: lines of text, each way. The input that follows a line is kept.
 * Source: Virtual I/O Device (VIRTIO) 1.2, section 5.3.
 */
#include "guest_kernel/drivers/more_consoles.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/tasks/clock.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define RECEIVE  0
#define TRANSMIT 1
#define QUEUES   2
#define MOST     4 /* consoles */

static struct terminal {
	char input[LINE_MOST], output[LINE_MOST], line[LINE_MOST];
	u32 length, read; /* of input */
} terminals[MOST];

static void add_input_buffer(struct virtio_device *device, struct terminal *terminal)
{
	struct virtio_buffer buffer = { terminal->input, LINE_MOST, true };
	terminal->length = terminal->read = 0;
	virtqueue_add(&device->queues[RECEIVE], &buffer, 1);
	virtio_kick(device, RECEIVE);
}

static struct virtio_device *open(u32 number)
{
	struct virtio_device *device = number && number <= MOST ? virtio_find(VIRTIO_CONSOLE, number) : NULL;
	if (!device || virtio_works(device))
		return device;
	if (!virtio_open(device, QUEUES, 0))
		return NULL;
	add_input_buffer(device, &terminals[number - 1]);
	return device;
}

bool console_tell(u32 number, const char *text)
{
	struct virtio_device *device = open(number);
	u32 bytes;
	if (!device)
		return false;
	char *output = terminals[number - 1].output;
	u32 length = text_copy(output, text, LINE_MOST - 1);
	output[length++] = '\n';
	struct virtio_buffer buffer = { output, length, false };
	virtqueue_add(&device->queues[TRANSMIT], &buffer, 1);
	virtio_kick(device, TRANSMIT);
	return virtio_wait(device, TRANSMIT, CLOCK_NEVER) && virtqueue_get(&device->queues[TRANSMIT], &bytes);
}

const char *console_hear(u32 number)
{
	struct virtio_device *device = open(number);
	if (!device)
		return NULL;
	struct terminal *terminal = &terminals[number - 1];
	for (u32 length = 0;;) {
		while (terminal->read == terminal->length) {
			if (!virtio_wait(device, RECEIVE, CLOCK_NEVER))
				return NULL;
			/* The first wait is for the buffer that was added when the device was opened. */
			if (virtqueue_get(&device->queues[RECEIVE], &terminal->length))
				terminal->read = 0;
		}
		char character = terminal->input[terminal->read++];
		bool last = terminal->read == terminal->length;
		if (last)
			add_input_buffer(device, terminal);
		if (character == '\n') {
			terminal->line[length] = 0;
			return terminal->line;
		}
		if (length + 1 < LINE_MOST)
			terminal->line[length++] = character;
	}
}
