/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that use the chosen disk.
 *
 * Read next: network_commands.c.
 */
#include "guest_kernel/base/crc32.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/drivers/block.h"
#include "guest_kernel/main/arguments.h"
#include "guest_kernel/main/device_commands.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define LINE_BYTES   16 /* of a dump */
#define CHUNK        128 /* sectors in one request */

static u32 chosen;
static u8 data[CHUNK * SECTOR_BYTES];

static struct virtio_device *disk(const char *command)
{
	struct virtio_device *found = block_open(chosen);
	if (!found)
		print("%s: no disk %u\n", command, chosen);
	return found;
}

static bool good(const char *command, enum block_status status)
{
	if (status == BLOCK_OK)
		return true;
	print("%s: %s\n", command, status == BLOCK_IO_ERROR ? "I/O error" : status == BLOCK_UNSUPPORTED ?
	      "the disk cannot do that" : "the disk is broken");
	return false;
}

void disk_command(char *arguments)
{
	char id[BLOCK_ID_BYTES + 1];
	if (!argument_optional(&arguments, "disk", &chosen, chosen))
		return;
	struct virtio_device *found = disk("disk");
	if (found && good("disk", block_get_id(found, id)))
		print("disk %u: %u sectors, %s, id %s\n", chosen, block_sectors(found),
		      found->features & BLOCK_FEATURE_READ_ONLY ? "read-only" : "writable", id);
}

static void dump(const u8 *from, u32 bytes)
{
	for (u32 at = 0; at < bytes; at += LINE_BYTES) {
		print("%03x ", at);
		for (u32 i = 0; i < LINE_BYTES; i++)
			print(" %02x", from[at + i]);
		print("  ");
		for (u32 i = 0; i < LINE_BYTES; i++)
			print("%c", from[at + i] >= ' ' && from[at + i] < 0x7F ? from[at + i] : '.');
		print("\n");
	}
}

void read_command(char *arguments)
{
	u32 sector;
	struct virtio_device *from = disk("read");
	if (from && argument_number(&arguments, "read", &sector) &&
	    good("read", block_transfer(from, BLOCK_READ, sector, data, SECTOR_BYTES)))
		dump(data, SECTOR_BYTES);
}

void write_command(char *arguments)
{
	u32 sector;
	struct virtio_device *to = disk("write");
	if (!to || !argument_number(&arguments, "write", &sector))
		return;
	memory_set(data, 0, SECTOR_BYTES);
	text_copy((char *)data, arguments, SECTOR_BYTES);
	if (good("write", block_transfer(to, BLOCK_WRITE, sector, data, SECTOR_BYTES)))
		print("written\n");
}

static u32 chunk(u32 count)
{
	return count < CHUNK ? count : CHUNK;
}

void sum_command(char *arguments)
{
	u32 sector, count, sum = 0;
	struct virtio_device *from = disk("sum");
	if (!from || !argument_number(&arguments, "sum", &sector) || !argument_number(&arguments, "sum", &count))
		return;
	for (; count; sector += chunk(count), count -= chunk(count)) {
		if (!good("sum", block_transfer(from, BLOCK_READ, sector, data, chunk(count) * SECTOR_BYTES)))
			return;
		sum = crc32(sum, data, chunk(count) * SECTOR_BYTES);
	}
	print("sum %08x\n", sum);
}

void copy_command(char *arguments)
{
	u32 from, to, count;
	struct virtio_device *device = disk("copy");
	if (!device || !argument_number(&arguments, "copy", &from) || !argument_number(&arguments, "copy", &to) ||
	    !argument_number(&arguments, "copy", &count))
		return;
	for (; count; from += chunk(count), to += chunk(count), count -= chunk(count)) {
		if (!good("copy", block_transfer(device, BLOCK_READ, from, data, chunk(count) * SECTOR_BYTES)) ||
		    !good("copy", block_transfer(device, BLOCK_WRITE, to, data, chunk(count) * SECTOR_BYTES)))
			return;
	}
	print("copied\n");
}

static void erase(const char *command, u32 feature, enum block_request request, char *arguments)
{
	u32 sector, count;
	struct virtio_device *from = disk(command);
	if (!from || !argument_number(&arguments, command, &sector) || !argument_number(&arguments, command, &count))
		return;
	enum block_status status = from->features & feature ? block_erase(from, request, sector, count) : BLOCK_UNSUPPORTED;
	if (good(command, status))
		print("done\n");
}

void zero_command(char *arguments)
{
	erase("zero", BLOCK_FEATURE_WRITE_ZEROES, BLOCK_WRITE_ZEROES, arguments);
}

void discard_command(char *arguments)
{
	erase("discard", BLOCK_FEATURE_DISCARD, BLOCK_DISCARD, arguments);
}

void flush_command(char *arguments)
{
	struct virtio_device *device = disk("flush");
	(void)arguments;
	if (!device)
		return;
	if (good("flush", device->features & BLOCK_FEATURE_FLUSH ? block_flush(device) : BLOCK_UNSUPPORTED))
		print("flushed\n");
}
