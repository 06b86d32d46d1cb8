/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entropy device's driver. Source: Virtual I/O Device (VIRTIO) 1.2, section 5.4. */
#include "guest_kernel/drivers/entropy.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/tasks/clock.h"
#include "switcher/layouts/types.h"

#define REQUESTS 0 /* the queue */

static u8 answer[ENTROPY_BYTES];

const u8 *entropy_read(u32 *bytes)
{
	struct virtio_device *source = virtio_find(VIRTIO_ENTROPY, 0);
	struct virtio_buffer buffer = { answer, *bytes < ENTROPY_BYTES ? *bytes : ENTROPY_BYTES, true };
	if (!source || (!virtio_works(source) && !virtio_open(source, REQUESTS + 1, 0)))
		return NULL;
	if (!virtqueue_add(&source->queues[REQUESTS], &buffer, 1))
		return NULL;
	virtio_kick(source, REQUESTS);
	if (!virtio_wait(source, REQUESTS, CLOCK_NEVER))
		return NULL;
	return virtqueue_get(&source->queues[REQUESTS], bytes);
}
