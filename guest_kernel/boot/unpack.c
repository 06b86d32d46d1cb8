/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompresses the gzip file (RFC 1952) in the bzImage, then loads the ELF in it.
 *
 * Read next: inflate.c; then guest_kernel/main/start.S, where the kernel starts.
 */
#include "guest_kernel/boot/boot.h"
#include <stdbool.h>

#define LOWEST     0x100000 /* the kernel may be loaded from here up to room_start */
#define ROOM_END   0x800000 /* header.S asks for memory up to here */
#define MAGIC_GZIP 0x00088B1F
#define MAGIC_ELF  0x464C457F
#define GZIP_HEADER  10 /* bytes */
#define GZIP_TRAILER 8  /* CRC, length */
#define CRC_POLYNOMIAL 0xEDB88320
/* Flags of the gzip header. */
#define HAS_CRC     2
#define HAS_EXTRA   4
#define HAS_NAME    8
#define HAS_COMMENT 16
#define PT_LOAD     1

struct elf {
	u32 magic;
	u8 not_used[20];
	u32 entry;
	u32 program_headers;
	u8 not_used_either[8];
	u16 header_bytes;
	u16 program_header_bytes;
	u16 program_header_count;
};

struct program_header {
	u32 type;
	u32 offset;
	u32 virtual_address;
	u32 physical_address;
	u32 file_bytes;
	u32 memory_bytes;
};

extern u8 room_start[]; /* boot.ld: the boot part's memory */

void *memset(void *to, int byte, size_t count);
void *memcpy(void *to, const void *from, size_t count);

void *memset(void *to, int byte, size_t count)
{
	void *start = to;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(byte) : "memory");
	return start;
}

void *memcpy(void *to, const void *from, size_t count)
{
	void *start = to;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	return start;
}

static u32 word(const u8 *at)
{
	return at[0] | at[1] << 8 | at[2] << 16 | (u32)at[3] << 24;
}

static u32 crc32(const u8 *data, u32 bytes)
{
	u32 crc = ~0u;
	for (u32 i = 0; i < bytes; i++) {
		crc ^= data[i];
		for (u32 bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CRC_POLYNOMIAL : 0);
	}
	return ~crc;
}

/* The length of the gzip header; more than `bytes` if the header is cut off. */
static u32 header_bytes(const u8 *packed, u32 bytes)
{
	u32 flags = packed[3], at = GZIP_HEADER;
	if (flags & HAS_EXTRA)
		at += 2 + packed[at] + packed[at + 1] * 256u;
	for (u32 texts = !!(flags & HAS_NAME) + !!(flags & HAS_COMMENT); texts; texts--) {
		while (at < bytes && packed[at])
			at++;
		at++;
	}
	return at + (flags & HAS_CRC ? 2 : 0);
}

static bool load(const u8 *image, u32 bytes, const struct program_header *header)
{
	u32 end = (u32)room_start, to = header->physical_address;
	if (header->type != PT_LOAD || !header->memory_bytes)
		return true;
	if (header->offset > bytes || header->file_bytes > bytes - header->offset)
		return false;
	if (header->file_bytes > header->memory_bytes || to < LOWEST || to >= end || header->memory_bytes > end - to)
		return false;
	memcpy((void *)to, image + header->offset, header->file_bytes);
	memset((void *)(to + header->file_bytes), 0, header->memory_bytes - header->file_bytes);
	return true;
}

static u32 load_elf(const u8 *image, u32 bytes)
{
	const struct elf *elf = (const struct elf *)image;
	if (bytes < sizeof(*elf) || elf->magic != MAGIC_ELF)
		return 0;
	for (u32 i = 0; i < elf->program_header_count; i++) {
		u32 at = elf->program_headers + i * elf->program_header_bytes;
		if (at > bytes || bytes - at < sizeof(struct program_header))
			return 0;
		if (!load(image, bytes, (const struct program_header *)(image + at)))
			return 0;
	}
	return elf->entry;
}

u32 unpack(const u8 *packed, u32 bytes)
{
	u8 *room = (u8 *)(((u32)packed + bytes + 15) & ~15u);
	u32 used, made, start;
	if (bytes < GZIP_HEADER + GZIP_TRAILER || (u32)packed + bytes > ROOM_END || (word(packed) & 0xFFFFFF) != MAGIC_GZIP)
		return 0;
	start = header_bytes(packed, bytes);
	if (start >= bytes)
		return 0;
	made = inflate(packed + start, bytes - start, room, ROOM_END - (u32)room, &used);
	start += used;
	if (!made || start > bytes - GZIP_TRAILER)
		return 0;
	if (word(packed + start + 4) != made || word(packed + start) != crc32(room, made))
		return 0;
	return load_elf(room, made);
}
