/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow page tables: the page tables that the CPU uses, filled on demand from the Guest's.
 *
 * One shadow table corresponds to one page table of the Guest and is found by that table's frame.  All shadow directories
 * share it, so the kernel's tables exist once and a change is made once.  It is freed with its last reference.  Entries
 * behave like a TLB: they can be stale until the Guest flushes them or names the address in a hypercall.  They map only
 * the Guest's own memory.
 *
 * Read before: walk.c.  Read next: directories.c.
 * Next in the book: directories.c.
 */
#include "host_kernel/memory/shadow.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/print.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/walk.h"

#define BUCKETS 1024u
#define NO_FRAME 0xFFFFFFFFu

struct shadow_page *pages HOT;
u32 pool HOT, flushes HOT;
struct set_pte_cache_entry set_pte_cache HOT, set_pte_cache_second HOT;
static u16 buckets[BUCKETS];
static u16 free_list;        /* pages that were used and freed; they are empty */
static u32 fresh = 1, page_count; /* pages from fresh on were never used */
u8 absent_page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
static u32 write_protected[WRITE_PROTECTED_FRAMES];
u32 write_protected_count HOT;

/* Discard what the Guest wrote to the absent page. */
void absent_page_restore(void)
{
	memset(absent_page, 0xFF, sizeof(absent_page));
}

/* Uses the Host area from first_free on.  Returns the number of pages in the pool. */
u32 pool_init(u32 first_free)
{
	first_free = writers_init(first_free);
	page_count = (machine.device_writes - first_free) / (PAGE_BYTES + sizeof(struct shadow_page));
	if (page_count > 0xFFFF)
		page_count = 0xFFFF;
	absent_page_restore();
	pages = (struct shadow_page *)first_free;
	pool = machine.device_writes - page_count * PAGE_BYTES;
	return page_count;
}

/* Can so many pages be allocated? */
bool pages_available(u32 count)
{
	u32 found = page_count - fresh;

	for (u16 page = free_list; page && found < count; page = pages[page].next)
		found++;
	return found >= count;
}

/* An empty page; there must be one available. */
u16 page_alloc(void)
{
	u16 page;

	if (!free_list) {
		page = fresh++;
		memset(page_entries(page), 0, PAGE_BYTES);
		pages[page] = (struct shadow_page){ .frame = NO_FRAME };
		return page;
	}
	page = free_list;
	free_list = pages[page].next;
	pages[page].next = 0;
	return page;
}

/* Clears only the entries in use: that is cheaper than clearing a whole page. */
void page_free(u16 page)
{
	struct shadow_page *own = &pages[page];

	for (; own->words; own->words &= own->words - 1) {
		u32 word = __builtin_ctz(own->words);
		pte_t *entries = page_entries(page) + word * 32;

		for (u32 bits = own->used[word]; bits; bits &= bits - 1)
			set_shadow_pte(&entries[__builtin_ctz(bits)], 0);
		own->used[word] = 0;
	}
	own->frame = NO_FRAME;
	own->references = 0;
	own->local = false;
	own->next = free_list;
	free_list = page;
}

u16 shadow_table_find(u32 frame)
{
	u16 page = buckets[frame % BUCKETS];

	while (page && pages[page].frame != frame)
		page = pages[page].next;
	return page;
}

/* A new shadow of the Guest's page table in this frame. */
u16 shadow_table_make(u32 frame)
{
	u16 page = page_alloc();

	pages[page].frame = frame;
	pages[page].flushed = flushes;
	pages[page].next = buckets[frame % BUCKETS];
	buckets[frame % BUCKETS] = page;
	return page;
}

/* The first entry in use from index on, or ENTRIES. */
u32 page_next(u16 page, u32 index)
{
	const pte_t *entries = page_entries(page);

	while (index < ENTRIES) {
		u32 word = pages[page].used[index / 32] >> index % 32;

		if (!word) {
			index = (index | 31) + 1;
			continue;
		}
		index += __builtin_ctz(word);
		if (entries[index])
			return index;
		page_unuse(page, index);
	}
	return ENTRIES;
}

void shadow_table_hold(u16 page)
{
	invalidate_set_pte_cache();
	pages[page].references++;
}

void shadow_table_release(u16 page)
{
	u16 *link = &buckets[pages[page].frame % BUCKETS];

	invalidate_set_pte_cache();
	guest.unlinked = true;
	if (--pages[page].references)
		return;
	while (*link != page)
		link = &pages[*link].next;
	*link = pages[page].next;
	page_free(page);
}

bool is_write_protected(u32 frame)
{
	for (u32 index = 0; index < write_protected_count; index++)
		if (write_protected[index] == frame)
			return true;
	return false;
}

/* The shadow entry for one with reserved bits (none), for a frame outside the Guest's memory (the absent page), of a BAR (none) or for a write-protected one. */
pte_t shadow_pte_slow(pte_t entry)
{
	pte_t flags = entry & (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_NX);

	if (is_io_frame(entry) || is_reserved(entry))
		return 0;
	if (!guest_frame_valid(entry))
		return (u32)absent_page | (flags & ~(pte_t)PTE_RW);
	if (is_write_protected(FRAME(entry)))
		flags &= ~(pte_t)PTE_RW;
	return machine.guest_base + entry_address(entry) + flags;
}

/* Write-protect these frames, and no others, in existing entries and in future ones. */
void write_protect_frames(const u32 *frames, u32 count)
{
	write_protected_count = 0;
	for (; write_protected_count < count && write_protected_count < WRITE_PROTECTED_FRAMES; write_protected_count++)
		write_protected[write_protected_count] = frames[write_protected_count];
	for (u32 bucket = 0; bucket < BUCKETS; bucket++) {
		for (u16 page = buckets[bucket]; page; page = pages[page].next) {
			pte_t *entries = page_entries(page);

			for (u32 index = page_next(page, 0); index < ENTRIES; index = page_next(page, index + 1))
				if (is_write_protected(shadow_frame(entries[index])))
					set_shadow_pte(&entries[index], entries[index] & ~(pte_t)PTE_RW);
		}
	}
}

/* The Guest's page table for a shadow; its frame was checked when it was linked.  NULL: linear map or large page. */
const pte_t *guest_table_of(u16 page)
{
	if (pages[page].frame >= LINEAR_FRAME)
		return NULL;
	return (const pte_t *)(machine.guest_base + (pages[page].frame << 12));
}

/* Sync one entry; it is mapped at once if its accessed bit is set. */
void shadow_table_sync_one(u16 page, u32 index)
{
	const pte_t *guest_table = guest_table_of(page);
	pte_t entry;

	if (!guest_table)
		return;
	entry = read_entry(&guest_table[index]);
	if (entry & PTE_P)
		check_pte(entry, index << 12);
	shadow_table_map(page, index, entry);
}

/*
 * Sync an entry that differs.  The shadow entry stays if it only allows less than the Guest's: not writable before the
 * first write, or without the dirty bit that dirty.c cleared.
 */
static void __attribute__((noinline)) sync_pte(u16 page, u32 index, pte_t entry)
{
	pte_t shadow = page_entries(page)[index], differs = (shadow - machine.guest_base) ^ entry;

	if (!(differs & (~(pte_t)(PAGE_BYTES - 1) | PTE_P | PTE_US | PTE_A)) &&
	    (!(shadow & PTE_RW) || (entry & (PTE_RW | PTE_D)) == (PTE_RW | PTE_D)))
		return;
	if (entry & PTE_P)
		check_pte(entry, index << 12);
	shadow_table_map(page, index, entry);
}

/* The first of 32 entries that differs, and the bits after it; 0: none.  Nearly all are equal, so the loop is short. */
static u32 OFTEN __attribute__((noinline)) differing(const pte_t *shadow, const pte_t *guest_table, u32 bits, u32 base)
{
	do {
		u32 index = __builtin_ctz(bits);

		if (((read_entry(&guest_table[index]) + base) ^ shadow[index]) & ~GUEST_ONLY_BITS)
			return bits;
		bits &= bits - 1;
	} while (bits);
	return 0;
}

/* Does any of 32 entries differ?  Faster than differing() when all are in use. */
static bool OFTEN __attribute__((noinline)) any_differs(const pte_t *shadow, const pte_t *guest_table, u32 base)
{
	pte_t difference = 0;

	_Pragma("GCC unroll 32")
	for (u32 index = 0; index < 32; index++)
		difference |= (read_entry(&guest_table[index]) + base) ^ shadow[index];
	return (difference & ~GUEST_ONLY_BITS) != 0;
}

/* The counter wrapped: mark every table as stale, or one synced 2^32 flushes ago would count as fresh. */
void __attribute__((cold, noinline)) flushes_wrapped(void)
{
	flushes = 1;
	for (u32 page = 1; page < fresh; page++)
		pages[page].flushed = 0;
}

/* Sync all entries in use, if the Guest may have written to its table. */
void OFTEN shadow_table_sync(u16 page)
{
	struct shadow_page *own = &pages[page];
	const pte_t *guest_table = guest_table_of(page), *shadow = page_entries(page);

	own->flushed = flushes;
	if (!guest_table || !test_and_clear_dirty(own->frame))
		return;
	for (u32 words = own->words; words; words &= words - 1) {
		u32 word = __builtin_ctz(words), first = word * 32, bits = own->used[word];

		if (bits == ~0u && !any_differs(shadow + first, guest_table + first, machine.guest_base))
			continue;
		while (bits && (bits = differing(shadow + first, guest_table + first, bits, machine.guest_base))) {
			u32 index = first + __builtin_ctz(bits);

			sync_pte(page, index, read_entry(&guest_table[index]));
			bits &= bits - 1;
		}
	}
}
