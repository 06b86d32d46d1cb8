/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks. Requests are made one at a time, by one task. */
#ifndef BLOCK_H
#define BLOCK_H
#include "guest_kernel/bus/device.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define SECTOR_BYTES   512
#define BLOCK_ID_BYTES 20

#define BLOCK_FEATURE_READ_ONLY    (1u << 5)
#define BLOCK_FEATURE_FLUSH        (1u << 9)
#define BLOCK_FEATURE_DISCARD      (1u << 13)
#define BLOCK_FEATURE_WRITE_ZEROES (1u << 14)

enum block_request {
	BLOCK_READ = 0,
	BLOCK_WRITE = 1,
	BLOCK_FLUSH = 4,
	BLOCK_GET_ID = 8,
	BLOCK_DISCARD = 11,
	BLOCK_WRITE_ZEROES = 13,
};

enum block_status {
	BLOCK_OK = 0,
	BLOCK_IO_ERROR = 1,
	BLOCK_UNSUPPORTED = 2,
	BLOCK_BROKEN = 0xFF, /* the device did not answer: it needs a reset */
};

struct virtio_device *block_open(u32 number); /* NULL: there is no such disk */
u32 block_sectors(const struct virtio_device *disk);
/* Data lie in RAM that the kernel maps at virtual(). Waits for the device. */
enum block_status block_transfer(struct virtio_device *disk, enum block_request request, u32 sector, void *data, u32 bytes);
enum block_status block_flush(struct virtio_device *disk);
enum block_status block_get_id(struct virtio_device *disk, char id[BLOCK_ID_BYTES + 1]);
enum block_status block_erase(struct virtio_device *disk, enum block_request request, u32 sector, u32 sectors);

#endif
