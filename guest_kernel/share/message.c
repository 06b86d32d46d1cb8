/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of 9P2000.L and the device that carries them. A message is its length, its type, a tag, and fields in
 * little-endian order; text has its length before it. There is one message at a time, so the tag is always the same.
 * Sources: VIRTIO's device number 9 has one queue, with the request and room for the answer in a chain; the fields
 * are those of the 9P manual pages, section 5, and of the protocol's Linux dialect.
 *
 * Read next: share.c.
 */
#include "guest_kernel/share/message.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/tasks/clock.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define REQUESTS    0 /* the queue */
#define FEATURE_TAG 1u
#define HEADER      7
#define TAG         1
#define NO_TAG      0xFFFF /* of P9_VERSION */

static struct virtio_device *device;
static u8 request[MESSAGE_BYTES], answer[MESSAGE_BYTES];
static u32 length; /* of the request */
static u32 got, received; /* of the answer */

void message_put(u64 value, u32 bytes)
{
	for (; bytes && length < MESSAGE_BYTES; bytes--, value >>= 8)
		request[length++] = (u8)value;
}

void message_put_bytes(const void *data, u32 bytes)
{
	if (bytes > MESSAGE_BYTES - length)
		bytes = MESSAGE_BYTES - length;
	memory_copy(request + length, data, bytes);
	length += bytes;
}

void message_put_text(const char *text, u32 bytes)
{
	message_put(bytes, 2);
	message_put_bytes(text, bytes);
}

void message_start(u8 type)
{
	length = 0;
	message_put(0, 4); /* the length: message_send() knows it */
	message_put(type, 1);
	message_put(type == P9_VERSION ? NO_TAG : TAG, 2);
}

u64 message_get(u32 bytes)
{
	u64 value = 0;
	const u8 *field = message_get_bytes(bytes);
	for (u32 i = 0; field && i < bytes; i++)
		value |= (u64)field[i] << 8 * i;
	return value;
}

const u8 *message_get_bytes(u32 bytes)
{
	if (bytes > received - got)
		return NULL;
	got += bytes;
	return answer + got - bytes;
}

bool message_open(u32 number)
{
	struct virtio_device *found = virtio_find(VIRTIO_9P, number);
	if (!found || !virtio_open(found, REQUESTS + 1, FEATURE_TAG))
		return false;
	device = found;
	return true;
}

bool message_ready(void)
{
	return device && virtio_works(device);
}

u32 message_send(void)
{
	struct virtio_buffer parts[] = { { request, length, false }, { answer, MESSAGE_BYTES, true } };
	u8 type = request[4];
	for (u32 i = 0; i < 4; i++)
		request[i] = (u8)(length >> 8 * i);
	got = received = 0;
	if (!message_ready() || !virtqueue_add(&device->queues[REQUESTS], parts, 2))
		return P9_BROKEN;
	virtio_kick(device, REQUESTS);
	if (!virtio_wait(device, REQUESTS, CLOCK_NEVER) || !virtqueue_get(&device->queues[REQUESTS], &received))
		return P9_BROKEN;
	if (received < HEADER || received > MESSAGE_BYTES || message_get(4) != received)
		return P9_BROKEN;
	u8 got_type = (u8)message_get(1);
	message_get(2);
	if (got_type == P9_LERROR)
		return (u32)message_get(4);
	return got_type == type + 1 ? 0 : P9_BROKEN;
}
