/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page walks: with all accessed bits clear and the TLB empty, the first walk for a page sets its bit.  After one round, to
 * the Guest and back, the bits are the walks after the two loads of CR3, in the Guest's tables and in the Host's.  (A CPU
 * may also walk for a speculative access.)
 * Source: Intel SDM vol. 3, 4.8.
 */
#include "host_kernel/bench/bench.h"
#include "host_kernel/memory/paging.h"

static u32 *table_at(u32 entry)
{
	return (u32 *)(entry & ~(PAGE_BYTES - 1));
}

/* Count the pages with the accessed bit, then set or clear it in all. */
static u32 used(u32 *directory, bool set)
{
	u32 count = 0;

	for (u32 upper = 0; upper < ENTRIES; upper++) {
		bool large = directory[upper] & PTE_PS;
		u32 *entries = large ? &directory[upper] : table_at(directory[upper]);

		if (!(directory[upper] & PTE_P))
			continue;
		for (u32 index = 0; index < (large ? 1 : ENTRIES); index++) {
			if (!(entries[index] & PTE_P))
				continue;
			count += entries[index] / PTE_A & 1;
			entries[index] = set ? entries[index] | PTE_A : entries[index] & ~PTE_A;
		}
	}
	return count;
}

void walks_begin(void)
{
	used((u32 *)state->guest_cr3, false);
	used((u32 *)state->host_cr3, false);
	write_cr3(state->host_cr3);
}

/* The Host's first: reading the Guest's tables uses pages of the Host. */
u32 walks_end(void)
{
	u32 host = used((u32 *)state->host_cr3, true);

	return host + used((u32 *)state->guest_cr3, true);
}
