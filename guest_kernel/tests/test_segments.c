/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LOAD_GDT_ENTRY and LOAD_TLS: reads through a segment in a program, and how the Host sanitizes a descriptor.
 *
 * Read next: test_switcher.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

#define FIRST_WORD 0x5000
#define FIRST_BASE (TEST_PAGES + 0x100)

/* Maps a page for programs with a different value in each word. */
static void words_page(void)
{
	pte_set(current_directory(), TEST_PAGES, test_frame() | PTE_PRESENT | PTE_WRITE | PTE_USER);
	for (u32 i = 0; i < PAGE_SIZE / 4; i++)
		test_word(TEST_PAGES)[i] = FIRST_WORD + i;
}

static u32 word_at(u32 address)
{
	return FIRST_WORD + (address - TEST_PAGES) / 4;
}

/* lar returns the access byte shifted left by 8. */
static u32 access_rights(u32 selector)
{
	u32 result = 0;
	__asm__ volatile("lar %1, %0" : "+r"(result) : "r"(selector) : "cc");
	return result >> 8 & 0xFF;
}

static u32 limit_of(u32 selector)
{
	u32 result = 0xDEAD;
	__asm__ volatile("lsl %1, %0" : "+r"(result) : "r"(selector) : "cc");
	return result;
}

static void load_tls(const u32 bases[3])
{
	for (u32 i = 0; i < TLS_COUNT; i++)
		segment_descriptor(bases[i], PAGE_SIZE - 1, SEGMENT_DATA | SEGMENT_DPL(3), &current->tls[i * 2]);
	schedule_load_tls();
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

TEST(tls, "segments: three TLS segments, read through fs and gs in ring 3")
{
	static const u32 bases[] = { FIRST_BASE, FIRST_BASE + 0x40, FIRST_BASE + 0x80 };
	words_page();
	load_tls(bases);
	for (u32 i = 0; i < TLS_COUNT && !test_failed(); i++) {
		u32 selector = (GDT_TLS + i) * 8 | 3;
		expect_result(3, snippet_read_gs, selector, word_at(bases[i]));
		if (!test_failed())
			expect_result(3, snippet_read_fs, selector, word_at(bases[i]));
	}
}

TEST(tls_again, "segments: a second LOAD_TLS replaces the first")
{
	static const u32 first[] = { FIRST_BASE, FIRST_BASE, FIRST_BASE };
	static const u32 second[] = { FIRST_BASE + 0x200, FIRST_BASE, FIRST_BASE };
	words_page();
	load_tls(first);
	expect_result(3, snippet_read_gs, TLS_SELECTOR, word_at(first[0]));
	if (test_failed())
		return;
	load_tls(second);
	expect_result(3, snippet_read_gs, TLS_SELECTOR, word_at(second[0]));
}

TEST(tls_empty, "segments: an empty TLS segment cannot be used")
{
	for (u32 i = 0; i < TLS_COUNT * 2; i++)
		current->tls[i] = 0;
	schedule_load_tls();
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	struct caught caught = catch_ring3(snippet_read_gs, TLS_SELECTOR);
	ASSERT(caught.trapped);
	ASSERT(caught.frame.vector == TRAP_NOT_PRESENT || caught.frame.vector == TRAP_PROTECTION);
	ASSERT_EQ("error code", GDT_TLS * 8, caught.frame.error);
}

TEST(own_segment, "segments: an entry that the kernel loaded, read through gs in ring 3")
{
	words_page();
	segment_load(GDT_TEST + 1, FIRST_BASE + 0x300, 0xFF, SEGMENT_DATA | SEGMENT_DPL(3));
	expect_result(3, snippet_read_gs, (GDT_TEST + 1) * 8 | 3, word_at(FIRST_BASE + 0x300));
}

TEST(dpl0, "segments: DPL 0 becomes 1")
{
	segment_load(GDT_TEST, 0, SEGMENT_FLAT, SEGMENT_DATA);
	ASSERT_EQ("access byte", SEGMENT_DATA | SEGMENT_DPL(1), access_rights(GDT_TEST * 8 | 1));
}

TEST(accessed, "segments: the accessed bit is set")
{
	segment_load(GDT_TEST, 0, SEGMENT_FLAT, (SEGMENT_DATA & ~(u32)SEGMENT_ACCESSED) | SEGMENT_DPL(3));
	ASSERT_EQ("access byte", SEGMENT_DATA | SEGMENT_DPL(3), access_rights(GDT_TEST * 8 | 3));
	segment_load(GDT_TEST, 0, SEGMENT_FLAT, (SEGMENT_CODE & ~(u32)SEGMENT_ACCESSED) | SEGMENT_DPL(3));
	ASSERT_EQ("access byte", SEGMENT_CODE | SEGMENT_DPL(3), access_rights(GDT_TEST * 8 | 3));
}

TEST(limit_kept, "segments: the limit is as it was given")
{
	segment_load(GDT_TEST, 0, 0x12345, SEGMENT_DATA | SEGMENT_DPL(3));
	ASSERT_EQ("limit", 0x12345, limit_of(GDT_TEST * 8 | 3));
	segment_load(GDT_TEST, 0, SEGMENT_FLAT, SEGMENT_DATA | SEGMENT_DPL(3));
	ASSERT_EQ("limit", 0xFFFFFFFF, limit_of(GDT_TEST * 8 | 3));
}

TEST(emptied, "segments: an entry can be emptied again")
{
	segment_load(GDT_TEST, 0, 0xFFF, SEGMENT_DATA | SEGMENT_DPL(3));
	ASSERT(access_rights(GDT_TEST * 8 | 3));
	hypercall(LHCALL_LOAD_GDT_ENTRY, GDT_TEST, 0, 0, 0);
	ASSERT_EQ("access byte", 0, access_rights(GDT_TEST * 8 | 3));
}

/* The Host's and the Switcher's entries. */
TEST(ignored_entries, "segments: entries 10, 11, 16 and 31 are ignored")
{
	static const u32 entries[] = { GDT_HOST_CS, GDT_HOST_DS, GDT_TSS, GDT_ENTRIES - 1 };
	for (u32 i = 0; i < 4; i++) {
		u32 selector = entries[i] * 8 | 3;
		segment_load(entries[i], 0, 0x777, SEGMENT_DATA | SEGMENT_DPL(3));
		ASSERT(access_rights(selector) != (SEGMENT_DATA | SEGMENT_DPL(3)));
		ASSERT(limit_of(selector) != 0x777);
	}
	expect_trap(3, snippet_load_ds, HOST_DS | 3, TRAP_PROTECTION, HOST_DS, snippet_load_ds_at);
}

TEST(kernel_segments, "segments: ring 1 has entries 12 and 13")
{
	ASSERT_EQ("access byte of cs", SEGMENT_CODE | SEGMENT_DPL(1), access_rights(GUEST_CS));
	ASSERT_EQ("access byte of ds", SEGMENT_DATA | SEGMENT_DPL(1), access_rights(GUEST_DS));
}
