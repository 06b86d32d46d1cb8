/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder of the Host, mounted by 9p without a cache: each read, write and stat goes to the Host.
 * Source: Linux's stat64(2). Read before: devices.c.
 */
#include "guest_kernel/linux/bench/bench.h"
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"

#define SOURCE "/share/source"
#define TARGET "/share/target"
#define FILE_BYTES (64u << 20) /* each has at least these */
#define LARGE (1u << 20)
#define FIRST 20 /* transfers before the first that counts */

enum { NR_LSEEK = 19, NR_STAT64 = 195, SEEK_SET = 0 };

/* The whole of ``buffer``, which the kernel may move in parts. */
static void move(u32 call, s32 file, volatile u8 *buffer)
{
	for (u32 done = 0; done < LARGE;) {
		s32 part = MUST(CALL(call, (u32)file, (u32)buffer + done, LARGE - done));

		MUST(part ? part : -EIO);
		done += (u32)part;
	}
}

/* Pieces of a file that is read, written or both; one after the other, and again from the start. */
static void measure(bool reads, bool writes)
{
	s32 source = MUST(open(SOURCE, O_RDONLY)), target = MUST(open(TARGET, O_RDWR));
	volatile u8 *buffer = pages(LARGE / PAGE);
	u32 done = 0;
	u64 start, end;

	touch(buffer, LARGE / PAGE);
	do {
		if (done % (FILE_BYTES / LARGE) == 0) {
			MUST(CALL(NR_LSEEK, (u32)source, 0, SEEK_SET));
			MUST(CALL(NR_LSEEK, (u32)target, 0, SEEK_SET));
		}
		start = now();
		if (reads)
			move(NR_READ, source, buffer);
		if (writes)
			move(NR_WRITE, target, buffer);
		end = now();
	} while (++done <= FIRST || sample(end - start));
	MUST(close(source));
	MUST(close(target));
	free_pages(buffer, LARGE / PAGE);
}

BENCH(share_read, "share-read", 1)
{
	measure(true, false);
}

BENCH(share_write, "share-write", 1)
{
	measure(false, true);
}

BENCH(share_copy, "share-copy", 1)
{
	measure(true, true);
}

BENCH(share_stat, "share-stat", 1)
{
	u8 status[96];
	u32 done = 0;
	u64 start, end;

	do {
		start = now();
		MUST(CALL(NR_STAT64, (u32)SOURCE, (u32)status));
		end = now();
	} while (++done <= FIRST || sample(end - start));
}
