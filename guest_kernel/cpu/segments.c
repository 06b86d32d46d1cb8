/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The GDT. It is the Host's to write: entries 12 and 13 are there from the start, the programs' we ask for.
 *
 * Read next: traps.c for the IDT.
 */
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/cpu/hypercall.h"

void segment_words(u32 base, u32 limit, u32 access, u32 words[2])
{
	u32 flags = 0x4; /* 32-bit */
	if (limit == SEGMENT_FLAT) {
		limit = 0xFFFFF;
		flags = 0xC; /* 32-bit, limit in pages */
	}
	words[0] = base << 16 | (limit & 0xFFFF);
	words[1] = (base & 0xFF000000) | flags << 20 | (limit & 0xF0000) | access << 8 | (base >> 16 & 0xFF);
}

void segment_load(u32 entry, u32 base, u32 limit, u32 access)
{
	u32 words[2];
	segment_words(base, limit, access, words);
	hypercall(LHCALL_LOAD_GDT_ENTRY, entry, words[0], words[1], 0);
}

void segments_init(void)
{
	segment_load(GDT_USER_CS, 0, SEGMENT_FLAT, SEGMENT_CODE | SEGMENT_DPL(3));
	segment_load(GDT_USER_DS, 0, SEGMENT_FLAT, SEGMENT_DATA | SEGMENT_DPL(3));
}
