/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network card's driver. No offload is accepted, so the header before each frame is zero.
 * Source: Virtual I/O Device (VIRTIO) 1.2, section 5.1.
 *
 * Read next: guest_kernel/network/network.c.
 */
#include "guest_kernel/drivers/net.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define RECEIVE  0
#define TRANSMIT 1
#define QUEUES   2

#define FEATURE_MAC   (1u << 5)
#define HEADER        12 /* bytes before a frame; */
#define HEADER_LEGACY 10 /* on the device page, without the number of buffers */
#define BUFFERS       16
#define BUFFER_BYTES  1536

static struct virtio_device *card;
static u8 mac[MAC_BYTES] = { 2, 0, 0, 0, 0, 1 }; /* locally administered: of a card without one */
static u32 header; /* its length */
static u8 receive[BUFFERS][BUFFER_BYTES], transmit[BUFFERS][BUFFER_BYTES];
static u8 *unused[BUFFERS]; /* of transmit */
static u32 unused_count;

static void add_receive_buffer(void *start)
{
	struct virtio_buffer buffer = { start, BUFFER_BYTES, true };
	virtqueue_add(&card->queues[RECEIVE], &buffer, 1);
}

bool net_open(void)
{
	struct virtio_device *found = virtio_find(VIRTIO_NET, 0);
	if (!found || !virtio_open(found, QUEUES, FEATURE_MAC))
		return false;
	card = found;
	header = card->transport->legacy ? HEADER_LEGACY : HEADER;
	for (u32 i = 0; i < MAC_BYTES && card->features & FEATURE_MAC; i++)
		mac[i] = virtio_config8(card, i);
	virtqueue_disable_interrupts(&card->queues[TRANSMIT]);
	for (unused_count = 0; unused_count < BUFFERS; unused_count++) {
		add_receive_buffer(receive[unused_count]);
		unused[unused_count] = transmit[unused_count];
	}
	virtio_kick(card, RECEIVE);
	return true;
}

const u8 *net_mac(void)
{
	return mac;
}

/* A buffer that the device has sent, or one that was never used. */
static u8 *transmit_buffer(void)
{
	u32 written;
	while (virtio_works(card)) {
		u8 *sent = virtqueue_get(&card->queues[TRANSMIT], &written);
		if (sent)
			return sent;
		if (unused_count)
			return unused[--unused_count];
		task_sleep(NS_PER_MS);
	}
	return NULL;
}

bool net_send(const void *frame, u32 bytes)
{
	u8 *start = bytes <= FRAME_BYTES ? transmit_buffer() : NULL;
	if (!start)
		return false;
	struct virtio_buffer buffer = { start, header + bytes, false };
	memory_set(start, 0, header);
	memory_copy(start + header, frame, bytes);
	virtqueue_add(&card->queues[TRANSMIT], &buffer, 1);
	virtio_kick(card, TRANSMIT);
	return true;
}

const u8 *net_receive(u32 *bytes)
{
	if (!virtio_wait(card, RECEIVE, CLOCK_NEVER))
		return NULL;
	u8 *start = virtqueue_get(&card->queues[RECEIVE], bytes);
	*bytes = *bytes > header ? *bytes - header : 0;
	return start + header;
}

void net_release(const u8 *frame)
{
	add_receive_buffer(receive[(u32)(frame - receive[0]) / BUFFER_BYTES]);
	virtio_kick(card, RECEIVE);
}
