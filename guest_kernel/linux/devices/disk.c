/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first virtio disk, past the kernel's own cache. Source: Linux's open(2), pread64(2). Read before: devices.c. */
#include "guest_kernel/linux/bench/bench.h"
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"

#define DISK "/dev/vda"
#define DISK_BYTES (256u << 20) /* it has at least these */
#define LARGE (1u << 20)
#define FIRST 20 /* transfers before the first that counts */

enum { NR_PREAD64 = 180, NR_PWRITE64 = 181, O_DIRECT = 0x4000 };

static s32 transfer(u32 call, s32 file, volatile u8 *buffer, u32 bytes, u32 offset)
{
	return CALL(call, (u32)file, (u32)buffer, bytes, offset, 0);
}

/* Transfers of so many bytes; ``step`` 0: at random places, else each so far behind the last. */
static void measure(u32 call, u32 flags, u32 bytes, u32 step)
{
	s32 file = MUST(open(DISK, flags | O_DIRECT));
	volatile u8 *buffer = pages(bytes / PAGE);
	u32 random = 12345, offset = 0, done = 0;
	u64 start, end;

	touch(buffer, bytes / PAGE);
	do {
		random = random * 1664525 + 1013904223; /* any full-period generator */
		offset = step ? (offset + step) % DISK_BYTES : (random >> 4) % (DISK_BYTES / bytes) * bytes;
		start = now();
		MUST(transfer(call, file, buffer, bytes, offset) == (s32)bytes ? 0 : -EIO);
		end = now();
	} while (++done <= FIRST || sample(end - start));
	MUST(close(file));
	free_pages(buffer, bytes / PAGE);
}

BENCH(disk_latency, "disk-latency", 1)
{
	measure(NR_PREAD64, O_RDONLY, PAGE, 0);
}

BENCH(disk_read, "disk-read", 1)
{
	measure(NR_PREAD64, O_RDONLY, LARGE, LARGE);
}

BENCH(disk_write, "disk-write", 1)
{
	measure(NR_PWRITE64, O_RDWR, LARGE, LARGE);
}
