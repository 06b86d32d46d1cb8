/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The GDT. The Host sets up entries 12 and 13 for the kernel; the kernel asks for those of its programs.
 *
 * Read next: idt.c.
 * Next in the book: interrupts.c.
 */
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/hypercall.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

/* Flags of a descriptor's second word. */
#define BITS_32     0x4
#define LIMIT_PAGES 0x8

void segment_descriptor(u32 base, u32 limit, u32 access, u32 words[2])
{
	u32 flags = BITS_32;
	if (limit == SEGMENT_FLAT) {
		limit = 0xFFFFF;
		flags = BITS_32 | LIMIT_PAGES;
	}
	words[0] = base << 16 | (limit & 0xFFFF);
	words[1] = (base & 0xFF000000) | flags << 20 | (limit & 0xF0000) | access << 8 | (base >> 16 & 0xFF);
}

void segment_load(u32 entry, u32 base, u32 limit, u32 access)
{
	u32 words[2];
	segment_descriptor(base, limit, access, words);
	hypercall(LHCALL_LOAD_GDT_ENTRY, entry, words[0], words[1], 0);
}

void segments_init(void)
{
	segment_load(GDT_USER_CS, 0, SEGMENT_FLAT, SEGMENT_CODE | SEGMENT_DPL(3));
	segment_load(GDT_USER_DS, 0, SEGMENT_FLAT, SEGMENT_DATA | SEGMENT_DPL(3));
}
