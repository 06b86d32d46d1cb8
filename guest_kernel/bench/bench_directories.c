/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows of page directories: both flushes, and the switch from one page directory to another. As much is mapped and used
 * as in a small Linux: SPACES address spaces of TABLES page tables with PAGES pages each, and KERNEL_PAGES pages of the
 * kernel.
 *
 * Read next: host_kernel/memory/page_tables.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bench/bench_row.h"
#include "guest_kernel/bench/bench_samples.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/task_table.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define SPACES 4
#define TABLES 4
#define PAGES 64
#define KERNEL_PAGES 512
#define CACHE 64 /* at least as many as the Host caches shadows of: "directory-new" fills the cache first */

static u32 spaces[SPACES], frame;
static u32 fresh[CACHE + BENCH_ROUNDS];

static u32 page_address(u32 table, u32 page)
{
	return BENCH_PAGES + (table << PDE_SHIFT) + page * PAGE_SIZE;
}

static void use(u32 directory)
{
	current->directory = directory;
	hypercall(LHCALL_NEW_PGTABLE, directory, 0, 0, 0);
}

static void read_word(const void *address)
{
	(void)*(const volatile u32 *)address;
}

static u32 make_space(void)
{
	u32 directory = page_directory_new();
	for (u32 table = 0; table < TABLES; table++) {
		for (u32 page = 0; page < PAGES; page++)
			*pte_lookup(directory, page_address(table, page), true) =
				frame | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED | PTE_DIRTY;
	}
	use(directory);
	for (u32 table = 0; table < TABLES; table++) {
		for (u32 page = 0; page < PAGES; page++)
			read_word((const void *)page_address(table, page));
	}
	return directory;
}

static void use_kernel_pages(void)
{
	for (u32 page = 0; page < KERNEL_PAGES && page < memory_mapped() / PAGE_SIZE; page++)
		read_word(virtual(page * PAGE_SIZE));
}

static void make_spaces(void)
{
	frame = frame_need();
	for (u32 i = 0; i < SPACES; i++)
		spaces[i] = make_space();
	use_kernel_pages();
	use(spaces[0]);
}

static void free_spaces(void)
{
	use(kernel_page_directory());
	for (u32 i = 0; i < SPACES; i++) {
		for (u32 table = 0; table < TABLES; table++)
			memory_set(pte_lookup(spaces[i], page_address(table, 0), false), 0, PAGE_SIZE);
		page_directory_free(spaces[i]);
	}
	frame_free(frame);
}

static u32 flush_user(u32 round)
{
	(void)round;
	return BENCH_TIMED(hypercall(LHCALL_FLUSH_TLB, 0, 0, 0, 0));
}

static u32 flush_all(u32 round)
{
	(void)round;
	return BENCH_TIMED(hypercall(LHCALL_FLUSH_TLB, 1, 0, 0, 0));
}

static u32 to_cached(u32 round)
{
	return BENCH_TIMED(hypercall(LHCALL_NEW_PGTABLE, spaces[(round + 1) % SPACES], 0, 0, 0));
}

/* The Host may defer a part of a flush until the page directory is used again: this row measures that part. */
static u32 to_stale(u32 round)
{
	hypercall(LHCALL_FLUSH_TLB, 1, 0, 0, 0);
	return to_cached(round);
}

static void make_fresh(void)
{
	use_kernel_pages();
	for (u32 i = 0; i < CACHE + BENCH_ROUNDS; i++)
		fresh[i] = page_directory_new();
	for (u32 i = 0; i < CACHE; i++)
		use(fresh[i]);
}

static void free_fresh(void)
{
	use(kernel_page_directory());
	for (u32 i = 0; i < CACHE + BENCH_ROUNDS; i++)
		frame_free(fresh[i]);
}

static u32 to_new(u32 round)
{
	return BENCH_TIMED(hypercall(LHCALL_NEW_PGTABLE, fresh[CACHE + round], 0, 0, 0));
}

const struct bench_row bench_directories[] = {
	{ .name = "flush-user", .once = flush_user, .set_up = make_spaces, .tear_down = free_spaces },
	{ .name = "flush-all", .once = flush_all, .set_up = make_spaces, .tear_down = free_spaces },
	{ .name = "directory-cached", .once = to_cached, .set_up = make_spaces, .tear_down = free_spaces },
	{ .name = "directory-stale", .once = to_stale, .set_up = make_spaces, .tear_down = free_spaces },
	{ .name = "directory-new", .once = to_new, .set_up = make_fresh, .tear_down = free_fresh },
	{ .name = NULL },
};
