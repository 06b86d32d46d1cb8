/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page walks: with all accessed bits clear and the TLB empty, each page that is used gets its bit at its first walk. So
 * after one round, there and back, the bits are the walks behind the two loads of CR3: of the pages used in the
 * Guest's tables, and of those in the Host's. (A CPU may also walk for an access that it only guessed.)
 * Source: Intel SDM vol. 3, 4.8.
 */
#include "host_kernel/bench/bench.h"
#include "host_kernel/memory/paging.h"



static u32 *table_at(u32 entry)
{
	return (u32 *)(entry & ~(PAGE_BYTES - 1));
}

/* The pages of a directory with their bit set; then it is set (or cleared) in all. */
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

/* The Host's first: to look at the Guest's uses a page of the Host's. */
u32 walks_end(void)
{
	u32 host = used((u32 *)state->host_cr3, true);

	return host + used((u32 *)state->guest_cr3, true);
}
