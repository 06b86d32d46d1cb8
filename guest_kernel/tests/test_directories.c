/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several page directories: a user address has its own page in each, the kernel's part is the same in all, and the
 * Host may drop the shadow of any that is not current without a visible effect.
 *
 * Read next: test_fpu.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define MANY 80 /* more than the Host caches shadows of */
#define USER_RW (PTE_PRESENT | PTE_WRITE | PTE_USER)

static u32 directories[MANY];

static void enter(u32 directory)
{
	current->directory = directory;
	hypercall(LHCALL_NEW_PGTABLE, directory, 0, 0, 0);
}

static u32 map_word(u32 directory, u32 address, u32 word)
{
	u32 frame = frame_need();
	*(u32 *)virtual(frame) = word;
	pte_set(directory, address, frame | USER_RW);
	return frame;
}

static void make(u32 count)
{
	for (u32 i = 0; i < count; i++) {
		directories[i] = page_directory_new();
		map_word(directories[i], TEST_PAGES, 1000 + i);
	}
}

static void unmake(u32 back, u32 count)
{
	enter(back);
	for (u32 i = 0; i < count; i++)
		page_directory_free(directories[i]);
}

static u32 word(void)
{
	return *(volatile u32 *)TEST_PAGES;
}

/* Enters each in turn: the word in each must be the one written there last. */
static bool round_trip(u32 count, u32 rounds)
{
	for (u32 round = 0; round < rounds; round++) {
		for (u32 i = 0; i < count; i++) {
			enter(directories[i]);
			if (!test_same("word", 1000 + i + round, word()))
				return false;
			*(volatile u32 *)TEST_PAGES = 1000 + i + round + 1;
		}
	}
	return true;
}

TEST(two, "directories: two, to and fro")
{
	u32 back = current_directory();
	make(2);
	round_trip(2, 20);
	unmake(back, 2);
}

TEST(twelve, "directories: twelve, round and round")
{
	u32 back = current_directory();
	make(12);
	round_trip(12, 5);
	unmake(back, 12);
}

TEST(eighty, "directories: eighty, more than the Host can cache")
{
	u32 back = current_directory();
	make(MANY);
	round_trip(MANY, 3);
	unmake(back, MANY);
}

TEST(not_current, "directories: SET_PTE in one that is not current")
{
	u32 back = current_directory();
	make(2);
	enter(directories[0]);
	ASSERT(word() == 1000);
	enter(directories[1]);
	ASSERT(word() == 1001);
	u32 old = *pte_lookup(directories[0], TEST_PAGES, false) & PTE_FRAME;
	map_word(directories[0], TEST_PAGES, 7);
	ASSERT_EQ("word in the current one", 1001, word());
	enter(directories[0]);
	ASSERT_EQ("word in the changed one", 7, word());
	enter(back);
	frame_free(old);
	unmake(back, 2);
}

TEST(not_current_unmap, "directories: a page unmapped in one that is not current")
{
	u32 back = current_directory();
	make(2);
	enter(directories[0]);
	ASSERT(word() == 1000);
	enter(directories[1]);
	frame_free(*pte_lookup(directories[0], TEST_PAGES, false) & PTE_FRAME);
	pte_set(directories[0], TEST_PAGES, 0);
	enter(directories[0]);
	struct caught caught = catch_ring1(snippet_read, TEST_PAGES);
	unmake(back, 2);
	ASSERT_EQ("vector", TRAP_PAGE_FAULT, caught.frame.vector);
}

TEST(silent_then_enter, "directories: silent changes, FLUSH_TLB(1), then NEW_PGTABLE")
{
	u32 back = current_directory();
	make(2);
	enter(directories[0]);
	ASSERT(word() == 1000);
	enter(directories[1]);
	u32 *entry = pte_lookup(directories[0], TEST_PAGES, false), old = *entry & PTE_FRAME, frame = frame_need();
	*(u32 *)virtual(frame) = 8;
	*entry = frame | USER_RW;
	hypercall(LHCALL_FLUSH_TLB, 1, 0, 0, 0);
	enter(directories[0]);
	u32 got = word();
	enter(back);
	frame_free(old);
	unmake(back, 2);
	ASSERT_EQ("word", 8, got);
}

TEST(kernel_shared, "directories: a kernel page set in one is there in all")
{
	u32 back = current_directory(), entry, got[4];
	make(4);
	for (u32 i = 0; i < 4; i++) {
		enter(directories[i]); /* so that the Host has a shadow of each */
		ASSERT(word() == 1000 + i);
	}
	u32 frame = map_word(directories[3], SCRATCH_WINDOW, 55);
	entry = *pte_lookup(directories[0], SCRATCH_WINDOW, false);
	for (u32 i = 0; i < 4; i++) {
		enter(directories[i]);
		got[i] = *(volatile u32 *)SCRATCH_WINDOW;
	}
	pte_set(back, SCRATCH_WINDOW, 0);
	struct caught caught[4];
	for (u32 i = 0; i < 4; i++) {
		enter(directories[i]);
		caught[i] = catch_ring1(snippet_read, SCRATCH_WINDOW);
	}
	unmake(back, 4);
	frame_free(frame);
	ASSERT_EQ("frame", frame, entry & PTE_FRAME);
	for (u32 i = 0; i < 4; i++) {
		ASSERT_EQ("word", 55, got[i]);
		ASSERT(caught[i].trapped);
		ASSERT_EQ("vector after the unmap", TRAP_PAGE_FAULT, caught[i].frame.vector);
	}
}

TEST(frames_again, "directories: one is freed, and the next uses its frames")
{
	u32 back = current_directory();
	for (u32 i = 0; i < 20; i++) {
		u32 directory = page_directory_new();
		map_word(directory, TEST_PAGES + (i % 3) * PAGE_SIZE, i);
		enter(directory);
		for (u32 page = 0; page < 3; page++) {
			struct caught caught = catch_ring1(snippet_read, TEST_PAGES + page * PAGE_SIZE);
			if (page == i % 3)
				ASSERT_EQ("word", i, caught.frame.ebx);
			else
				ASSERT_EQ("vector", TRAP_PAGE_FAULT, caught.frame.vector);
		}
		enter(back);
		page_directory_free(directory);
	}
}

TEST(shared_table, "directories: one table in two, changed through either")
{
	u32 back = current_directory(), slot = TEST_PAGES >> PDE_SHIFT;
	make(2);
	u32 own = page_directory_entries(directories[1])[slot], shared = page_directory_entries(directories[0])[slot];
	page_directory_entries(directories[1])[slot] = shared;
	hypercall(LHCALL_SET_PGD, directories[1], slot, 0, 0);
	enter(directories[1]);
	u32 first = word();
	*(volatile u32 *)TEST_PAGES = 66;
	enter(directories[0]);
	u32 second = word();
	page_directory_entries(directories[1])[slot] = own;
	hypercall(LHCALL_SET_PGD, directories[1], slot, 0, 0);
	enter(directories[1]);
	u32 third = word();
	unmake(back, 2);
	ASSERT_EQ("word through the second", 1000, first);
	ASSERT_EQ("word through the first", 66, second);
	ASSERT_EQ("word in its own table again", 1001, third);
}
