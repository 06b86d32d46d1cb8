/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk's driver. A request is a header, the data and a status byte, in one chain.
 * Source: Virtual I/O Device (VIRTIO) 1.2, section 5.2.
 *
 * Read next: net.c.
 * Next in the book: lguest_py/devices/device.py.
 */
#include "guest_kernel/drivers/block.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/tasks/clock.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define REQUESTS 0 /* the queue */
#define FEATURES \
	(BLOCK_FEATURE_READ_ONLY | BLOCK_FEATURE_FLUSH | BLOCK_FEATURE_DISCARD | BLOCK_FEATURE_WRITE_ZEROES)
#define CAPACITY 0 /* in the configuration space: sectors, 64 bits */

/* The data of BLOCK_DISCARD and BLOCK_WRITE_ZEROES. */
struct range {
	u64 sector;
	u32 sectors;
	u32 flags;
};

static struct {
	struct {
		u32 request;
		u32 reserved;
		u64 sector;
	} header;
	struct range range;
	volatile u8 status;
} exchange; /* with the device: not on a stack, which is gone if it answers late */

struct virtio_device *block_open(u32 number)
{
	struct virtio_device *disk = virtio_find(VIRTIO_BLOCK, number);
	if (!disk || virtio_works(disk))
		return disk;
	return virtio_open(disk, REQUESTS + 1, FEATURES) ? disk : NULL;
}

u32 block_sectors(const struct virtio_device *disk)
{
	return virtio_config32(disk, CAPACITY + 4) ? 0xFFFFFFFF : virtio_config32(disk, CAPACITY);
}

static bool device_writes(enum block_request request)
{
	return request == BLOCK_READ || request == BLOCK_GET_ID;
}

enum block_status block_transfer(struct virtio_device *disk, enum block_request request, u32 sector, void *data, u32 bytes)
{
	struct virtio_buffer parts[3] = { { &exchange.header, sizeof(exchange.header), false } };
	u32 count = 1, written;
	if (bytes)
		parts[count++] = (struct virtio_buffer){ data, bytes, device_writes(request) };
	parts[count++] = (struct virtio_buffer){ (void *)&exchange.status, 1, true };
	exchange.header.request = request;
	exchange.header.sector = sector;
	exchange.status = BLOCK_BROKEN;
	if (!virtqueue_add(&disk->queues[REQUESTS], parts, count))
		return BLOCK_BROKEN;
	virtio_kick(disk, REQUESTS);
	if (!virtio_wait(disk, REQUESTS, CLOCK_NEVER))
		return BLOCK_BROKEN;
	virtqueue_get(&disk->queues[REQUESTS], &written);
	return exchange.status;
}

enum block_status block_flush(struct virtio_device *disk)
{
	return block_transfer(disk, BLOCK_FLUSH, 0, NULL, 0);
}

enum block_status block_get_id(struct virtio_device *disk, char id[BLOCK_ID_BYTES + 1])
{
	static char answer[BLOCK_ID_BYTES + 1];
	enum block_status status = block_transfer(disk, BLOCK_GET_ID, 0, answer, BLOCK_ID_BYTES);
	text_copy(id, answer, sizeof(answer));
	return status;
}

enum block_status block_erase(struct virtio_device *disk, enum block_request request, u32 sector, u32 sectors)
{
	exchange.range = (struct range){ .sector = sector, .sectors = sectors };
	return block_transfer(disk, request, 0, &exchange.range, sizeof(exchange.range));
}
