/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each device by its own driver, on whichever bus it is. A test of a device that the machine does not have passes.
 * What they write to a disk is what was there.
 *
 * Read next: guest_kernel/drivers/block.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/bus/virtqueue.h"
#include "guest_kernel/drivers/block.h"
#include "guest_kernel/drivers/entropy.h"
#include "guest_kernel/share/share.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tests/test.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define MANY      300 /* more requests than a ring has entries */
#define PIECES    8
#define PIECE     (SECTOR_BYTES / PIECES)
#define NOT_FOUND 2
#define MULTICAST 1

static u8 first[SECTOR_BYTES], second[SECTOR_BYTES];

static bool same(const u8 *a, const u8 *b, u32 bytes)
{
	for (u32 i = 0; i < bytes; i++) {
		if (a[i] != b[i])
			return false;
	}
	return true;
}

TEST(none_broken, "devices: no device needs a reset")
{
	for (u32 i = 0; i < virtio_count(); i++)
		ASSERT(!virtio_broken(virtio_at(i)));
}

TEST(disk_write, "devices: a disk's last sector is the same when it was written back")
{
	struct virtio_device *disk = block_open(0);
	if (!disk || disk->features & BLOCK_FEATURE_READ_ONLY)
		return;
	u32 last = block_sectors(disk) - 1;
	ASSERT_EQ("status", BLOCK_OK, block_transfer(disk, BLOCK_READ, last, first, SECTOR_BYTES));
	ASSERT_EQ("status", BLOCK_OK, block_transfer(disk, BLOCK_WRITE, last, first, SECTOR_BYTES));
	ASSERT_EQ("status", BLOCK_OK, block_flush(disk));
	ASSERT_EQ("status", BLOCK_OK, block_transfer(disk, BLOCK_READ, last, second, SECTOR_BYTES));
	ASSERT(same(first, second, SECTOR_BYTES));
}

TEST(disk_end, "devices: a disk refuses what is behind its end")
{
	struct virtio_device *disk = block_open(0);
	if (!disk)
		return;
	u32 sectors = block_sectors(disk);
	ASSERT_EQ("status", BLOCK_IO_ERROR, block_transfer(disk, BLOCK_READ, sectors, first, SECTOR_BYTES));
	ASSERT_EQ("status", BLOCK_IO_ERROR, block_transfer(disk, BLOCK_WRITE, 0xFFFFFFFF, first, SECTOR_BYTES));
	ASSERT_EQ("status", BLOCK_UNSUPPORTED, block_transfer(disk, (enum block_request)99, 0, first, SECTOR_BYTES));
	ASSERT_EQ("status", BLOCK_OK, block_transfer(disk, BLOCK_READ, 0, first, SECTOR_BYTES));
}

TEST(disk_many, "devices: a disk answers 300 requests, one after the other")
{
	struct virtio_device *disk = block_open(0);
	if (!disk)
		return;
	ASSERT_EQ("status", BLOCK_OK, block_transfer(disk, BLOCK_READ, 0, first, SECTOR_BYTES));
	for (u32 i = 0; i < MANY; i++) {
		memory_set(second, 0, SECTOR_BYTES);
		ASSERT_EQ("status", BLOCK_OK, block_transfer(disk, BLOCK_READ, 0, second, SECTOR_BYTES));
		ASSERT(same(first, second, SECTOR_BYTES));
	}
}

/* Also in the queue: eight requests at once, in chains of ten buffers, with one kick. */
TEST(disk_pieces, "devices: a disk reads into many buffers, for many requests at once")
{
	static struct {
		u32 request, reserved;
		u64 sector;
	} header;
	static u8 data[PIECES][SECTOR_BYTES], status[PIECES];
	struct virtio_device *disk = block_open(0);
	if (!disk)
		return;
	struct virtqueue *queue = &disk->queues[0];
	ASSERT_EQ("status", BLOCK_OK, block_transfer(disk, BLOCK_READ, 0, first, SECTOR_BYTES));
	for (u32 i = 0; i < PIECES; i++) {
		struct virtio_buffer parts[PIECES + 2] = { { &header, sizeof(header), false } };
		for (u32 piece = 0; piece < PIECES; piece++)
			parts[1 + piece] = (struct virtio_buffer){ data[i] + piece * PIECE, PIECE, true };
		parts[1 + PIECES] = (struct virtio_buffer){ &status[i], 1, true };
		status[i] = BLOCK_BROKEN;
		ASSERT(virtqueue_add(queue, parts, PIECES + 2));
	}
	virtio_kick(disk, 0);
	for (u32 i = 0; i < PIECES; i++) {
		u32 bytes;
		ASSERT(virtio_wait(disk, 0, CLOCK_NEVER));
		ASSERT(virtqueue_get(queue, &bytes) == &header);
		ASSERT_EQ("bytes", SECTOR_BYTES + 1, bytes);
	}
	for (u32 i = 0; i < PIECES; i++) {
		ASSERT_EQ("status", BLOCK_OK, status[i]);
		ASSERT(same(first, data[i], SECTOR_BYTES));
	}
}

TEST(disk_reset, "devices: a disk that was reset serves again")
{
	struct virtio_device *disk = block_open(0);
	if (!disk)
		return;
	virtio_reset(disk);
	disk = block_open(0);
	ASSERT(disk != NULL);
	ASSERT_EQ("status", BLOCK_OK, block_transfer(disk, BLOCK_READ, 0, first, SECTOR_BYTES));
}

TEST(random_bytes, "devices: random bytes differ")
{
	u32 bytes = 16;
	const u8 *answer = entropy_read(&bytes);
	if (!answer)
		return;
	ASSERT(bytes > 0 && bytes <= 16);
	memory_copy(first, answer, bytes);
	for (u32 i = 0; i < 4; i++) { /* of few bytes, two answers may be the same */
		u32 again = bytes;
		answer = entropy_read(&again);
		ASSERT(answer != NULL);
		if (!same(first, answer, again))
			return;
	}
	ASSERT(!"five times the same");
}

TEST(card_address, "devices: the network card has the address of a station")
{
	const struct virtio_device *card = virtio_find(VIRTIO_NET, 0);
	if (!card)
		return;
	u8 any = 0;
	for (u32 i = 0; i < 6; i++)
		any |= virtio_config8(card, i);
	ASSERT(any);
	ASSERT_EQ("multicast", 0, virtio_config8(card, 0) & MULTICAST);
}

TEST(share_files, "devices: the share has a root, and no file of a made-up name")
{
	const char *name;
	u32 length;
	u64 cookie = 0;
	if (!virtio_find(VIRTIO_9P, 0))
		return;
	ASSERT_EQ("error", 0, share_mount(0));
	ASSERT_EQ("error", NOT_FOUND, share_open("no such file, nor folder", SHARE_READ));
	ASSERT_EQ("error", 0, share_open("", SHARE_DIRECTORY));
	ASSERT_EQ("error", 0, share_entry(&cookie, &name, &length));
	share_close();
	ASSERT(share_open("../..", SHARE_DIRECTORY)); /* an error: there is nothing above the root */
}
