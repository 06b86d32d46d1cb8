/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory of one process.  Read before: bench.h. */
#include "guest_kernel/linux/bench/bench.h"
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define PAGES 64

BENCH(faults, "anonymous-fault", PAGES) /* the first write to a page */
{
	bool more;

	do {
		volatile u8 *area = pages(PAGES);
		u64 start = now();

		touch(area, PAGES);
		more = sample(now() - start);
		free_pages(area, PAGES);
	} while (more);
}

BENCH(unmaps, "munmap", PAGES) /* per page, each written to */
{
	u64 start;

	do {
		volatile u8 *area = pages(PAGES);

		touch(area, PAGES);
		start = now();
		munmap((void *)area, PAGES * PAGE);
	} while (sample(now() - start));
}

BENCH(protections, "mprotect", 1) /* the first page of an area: read-only, writable again, then a write */
{
	volatile u8 *area = pages(PAGES);
	u64 start;

	touch(area, PAGES);
	do {
		start = now();
		mprotect((void *)area, PAGE, PROT_READ);
		mprotect((void *)area, PAGE, PROT_READ | PROT_WRITE);
		touch(area, 1);
	} while (sample(now() - start));
	free_pages(area, PAGES);
}

BENCH(once, "mmap+touch+munmap", 1) /* of a page */
{
	u64 start;

	do {
		start = now();
		volatile u8 *area = (volatile u8 *)mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
							-1, 0);
		touch(area, 1);
		munmap((void *)area, PAGE);
	} while (sample(now() - start));
}

enum { MREMAP_FIXED = 2 };

BENCH(moves, "pte-update", 2) /* a page moves to another address and is written to: one entry is cleared, one set */
{
	volatile u8 *area = pages(2), *from = area, *to = area + PAGE;
	u64 start;

	touch(area, 1);
	MUST(munmap((void *)to, PAGE));
	do {
		volatile u8 *old = from;

		start = now();
		CALL(NR_MREMAP, (u32)from, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (u32)to);
		touch(to, 1);
		from = to;
		to = old;
	} while (sample(now() - start));
	free_pages(from, 1);
}
