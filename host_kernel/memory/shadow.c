/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow page tables: the tables that the CPU really uses, made on demand from the Guest's.
 *
 * A shadow table stands for one page table of the Guest's, found by that table's frame, and is shared by every
 * directory that points to it: so the kernel's tables, which are in all directories, exist once, and a change is
 * made once.  It lives as long as some shadow directory points to it.  Entries behave like a TLB: they may be older
 * than the Guest's until it says so (a hypercall that names the address, or a flush), and they always lead to the
 * Guest's own memory.
 *
 * Read before: walk.c.  Read next: directories.c.
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
static u16 free_list;        /* of pages that were used before, and are empty again */
static u32 fresh = 1, page_count; /* from fresh on none was used yet */
u8 absent_page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
static u32 write_protected[WRITE_PROTECTED_FRAMES];
u32 write_protected_count HOT;

/* Undo what the Guest wrote where there is nothing. */
void absent_page_restore(void)
{
	memset(absent_page, 0xFF, sizeof(absent_page));
}

/* Takes all of the Host area from first_free on.  Returns how many pages the pool has. */
u32 pool_init(u32 first_free)
{
	first_free = writers_init(first_free);
	page_count = (machine.guest_base - first_free) / (PAGE_BYTES + sizeof(struct shadow_page));
	if (page_count > 0xFFFF)
		page_count = 0xFFFF;
	absent_page_restore();
	pages = (struct shadow_page *)first_free;
	pool = machine.guest_base - page_count * PAGE_BYTES;
	return page_count;
}

bool page_available(void)
{
	return free_list || fresh != page_count;
}

/* An empty page, of those available. */
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

/* Emptied by what is known to be in use: cheaper than a whole page of zeros later. */
void page_free(u16 page)
{
	struct shadow_page *own = &pages[page];

	for (; own->words; own->words &= own->words - 1) {
		u32 word = __builtin_ctz(own->words), *entries = page_entries(page) + word * 32;

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

/* A new shadow, of the Guest's table in this frame. */
u16 shadow_table_make(u32 frame)
{
	u16 page = page_alloc();

	pages[page].frame = frame;
	pages[page].flushed = flushes;
	pages[page].next = buckets[frame % BUCKETS];
	buckets[frame % BUCKETS] = page;
	return page;
}

/* The next entry from index on that is in use, or ENTRIES. */
u32 page_next(u16 page, u32 index)
{
	const u32 *entries = page_entries(page);

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

/* What may stand in a shadow where the frame is none of the Guest's, or one whose changes we must notice. */
u32 shadow_pte_slow(u32 entry)
{
	u32 flags = entry & (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D);

	if (!guest_frame_valid(entry))
		return (u32)absent_page | (flags & ~PTE_RW);
	if (is_write_protected(FRAME(entry)))
		flags &= ~PTE_RW;
	return machine.guest_base + (entry & ~(PAGE_BYTES - 1)) + flags;
}

/* From now on writes to these frames, and to no others, are faults: what is mapped already is mapped anew. */
void write_protect_frames(const u32 *frames, u32 count)
{
	write_protected_count = 0;
	for (; write_protected_count < count && write_protected_count < WRITE_PROTECTED_FRAMES; write_protected_count++)
		write_protected[write_protected_count] = frames[write_protected_count];
	for (u32 bucket = 0; bucket < BUCKETS; bucket++) {
		for (u16 page = buckets[bucket]; page; page = pages[page].next) {
			u32 *entries = page_entries(page);

			for (u32 index = page_next(page, 0); index < ENTRIES; index = page_next(page, index + 1))
				if (is_write_protected(FRAME(entries[index] - machine.guest_base)))
					set_shadow_pte(&entries[index], entries[index] & ~PTE_RW);
		}
	}
}

/* The Guest's table that a shadow stands for: its frame was checked when it was linked.  NULL: it has none. */
const u32 *guest_table_of(u16 page)
{
	if (pages[page].frame >= LINEAR_FRAME)
		return NULL;
	return (const u32 *)(machine.guest_base + (pages[page].frame << 12));
}

/* Look again at one entry, and map it at once if the Guest has used it before. */
void shadow_table_sync_one(u16 page, u32 index)
{
	const u32 *guest_table = guest_table_of(page);
	u32 entry;

	if (!guest_table)
		return;
	entry = read_once(&guest_table[index]);
	if (entry & PTE_P)
		check_pte(entry, index << 12);
	shadow_table_map(page, index, entry);
}

/*
 * An entry that differs.  The shadow's may still hold where it only allows less than the Guest's: no write before the
 * first, no dirty bit where dirty.c took it.
 */
static void __attribute__((noinline)) sync_pte(u16 page, u32 index, u32 entry)
{
	u32 shadow = page_entries(page)[index], differs = (shadow - machine.guest_base) ^ entry;

	if (!(differs & (~(PAGE_BYTES - 1) | PTE_P | PTE_US | PTE_A)) &&
	    (!(shadow & PTE_RW) || (entry & (PTE_RW | PTE_D)) == (PTE_RW | PTE_D)))
		return;
	if (entry & PTE_P)
		check_pte(entry, index << 12);
	shadow_table_map(page, index, entry);
}

/* Which of these (32) entries differ.  Nearly all will be as they were: a loop to keep short, in registers. */
static u32 OFTEN __attribute__((noinline)) differing(const u32 *shadow, const u32 *guest_table, u32 bits, u32 base)
{
	do {
		u32 index = __builtin_ctz(bits);

		if (((read_once(&guest_table[index]) + base) ^ shadow[index]) & ~GUEST_ONLY_BITS)
			return bits;
		bits &= bits - 1;
	} while (bits);
	return 0;
}

/* Does any of 32 entries differ?  The quicker question, where all are in use. */
static bool OFTEN __attribute__((noinline)) any_differs(const u32 *shadow, const u32 *guest_table, u32 base)
{
	u32 difference = 0;

	_Pragma("GCC unroll 32")
	for (u32 index = 0; index < 32; index++)
		difference |= (read_once(&guest_table[index]) + base) ^ shadow[index];
	return difference & ~GUEST_ONLY_BITS;
}

/* What was flushed 2^32 flushes ago would count as flushed now: all of it is old, once more. */
void __attribute__((cold, noinline)) flushes_wrapped(void)
{
	flushes = 1;
	for (u32 page = 1; page < fresh; page++)
		pages[page].flushed = 0;
}

/* Look again at all entries that are in use. */
void OFTEN shadow_table_sync(u16 page)
{
	struct shadow_page *own = &pages[page];
	const u32 *guest_table = guest_table_of(page), *shadow = page_entries(page);

	own->flushed = flushes;
	if (!guest_table || !test_and_clear_dirty(own->frame))
		return;
	for (u32 words = own->words; words; words &= words - 1) {
		u32 word = __builtin_ctz(words), first = word * 32, bits = own->used[word];

		if (bits == ~0u && !any_differs(shadow + first, guest_table + first, machine.guest_base))
			continue;
		while (bits && (bits = differing(shadow + first, guest_table + first, bits, machine.guest_base))) {
			u32 index = first + __builtin_ctz(bits);

			sync_pte(page, index, read_once(&guest_table[index]));
			bits &= bits - 1;
		}
	}
}
