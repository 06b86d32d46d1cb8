/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of a disk whose computer stops at any moment: crash DIRECTORY SYNCED COUNT. Looks whether everything up to
 * number SYNCED is in DIRECTORY, prints "FOUND n", then writes COUNT more (0: without end), each followed by "SYNCED n"
 * when it is on the disk. A number n is a file of bytes that depend on n, renamed over the one 16 numbers before, and
 * then an entry of the log. Source: Linux's manual, fsync(2), rename(2).
 */
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

enum { NR_CHDIR = 12, NR_RENAME = 38, NR_FSYNC = 118 };
enum { O_WRONLY = 1, O_CREAT = 0x40, O_TRUNC = 0x200, O_APPEND = 0x400 };
#define SLOTS 16u
#define LARGEST 65536u

static u8 data[LARGEST], found[LARGEST];

static s32 open_file(const char *name, u32 flags)
{
	return CALL(NR_OPEN, (u32)name, flags, 0600);
}

static void sync_and_close(s32 file)
{
	MUST(CALL(NR_FSYNC, (u32)file));
	MUST(close(file));
}

static const char *slot_of(u32 number)
{
	static char name[2];

	name[0] = (char)('a' + number % SLOTS);
	return name;
}

/* The bytes of a number; returns how many. */
static u32 fill(u32 number)
{
	u32 random = number * 2654435761u, bytes = 4 + (random >> 16) % (LARGEST - 4);

	for (u32 place = 0; place < bytes; place++) {
		data[place] = (u8)(random >> 24);
		random = random * 1664525 + 1013904223;
	}
	memcpy(data, &number, 4);
	return bytes;
}

static u32 read_file(const char *name)
{
	s32 file = MUST(open_file(name, O_RDONLY)), part;
	u32 bytes = 0;

	while (bytes < LARGEST && (part = MUST(read(file, found + bytes, LARGEST - bytes))))
		bytes += (u32)part;
	MUST(close(file));
	return bytes;
}

static bool holds(u32 number)
{
	u32 bytes = fill(number);

	return read_file(slot_of(number)) == bytes && !memcmp(found, data, bytes);
}

/* How many entries the log has; each must be its own number. */
static u32 check_log(void)
{
	s32 file = open_file("log", O_RDONLY), part;
	u32 number, last = 0;

	if (file < 0)
		return 0;
	while ((part = MUST(read(file, &number, 4))) == 4) {
		if (number != ++last) {
			print("BROKEN the log has %u in place of %u\n", number, last);
			leave(1);
		}
	}
	MUST(part ? -EIO : 0);
	MUST(close(file));
	return last;
}

static u32 check(u32 synced)
{
	u32 last = check_log();

	if (last < synced) {
		print("BROKEN the log ends with %u, and %u was synced\n", last, synced);
		leave(1);
	}
	for (u32 number = last > SLOTS ? last - SLOTS + 1 : 1; number <= last; number++) {
		if (!holds(number) && !(number + SLOTS == last + 1 && holds(last + 1))) {
			print("BROKEN the file of %u is not what was written\n", number);
			leave(1);
		}
	}
	return last;
}

static void write_number(u32 number)
{
	u32 bytes = fill(number);
	s32 file = MUST(open_file("new", O_WRONLY | O_CREAT | O_TRUNC));

	MUST(write(file, data, bytes) == (s32)bytes ? 0 : -EIO);
	sync_and_close(file);
	MUST(CALL(NR_RENAME, (u32)"new", (u32)slot_of(number)));
	sync_and_close(MUST(open_file(".", O_RDONLY)));
	file = MUST(open_file("log", O_WRONLY | O_CREAT | O_APPEND));
	MUST(write(file, &number, 4) == 4 ? 0 : -EIO);
	sync_and_close(file);
}

static s32 program(u32 argc, char **argv, char **envp)
{
	u32 last, count;

	(void)envp;
	MUST(argc == 4 ? 0 : -EINVAL);
	MUST(CALL(NR_CHDIR, (u32)argv[1]));
	last = check(number_of(argv[2]));
	count = number_of(argv[3]);
	print("FOUND %u\n", last);
	for (u32 number = last + 1; !count || number <= last + count; number++) {
		write_number(number);
		print("SYNCED %u\n", number);
	}
	return 0;
}

PROGRAM_MAIN(program);
