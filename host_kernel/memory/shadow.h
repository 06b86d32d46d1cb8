/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool of shadow pages, and the shadow page tables made of them.  Read next: shadow.c.
 * Next in the book: shadow.c.
 */
#ifndef HOST_KERNEL_MEMORY_SHADOW_H
#define HOST_KERNEL_MEMORY_SHADOW_H
#include "host_kernel/base/guest.h"
#include "host_kernel/memory/guest_physical.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/paging.h"
#include "host_kernel/memory/dirty.h"
#include "host_kernel/memory/walk.h"

#define WRITE_PROTECTED_FRAMES 20
#define GUEST_ONLY_BITS ((pte_t)0xF98) /* bits that a shadow entry does not copy: PWT, PCD, PAT, G and ignored ones */

#ifdef PAE
typedef u32 references_t;
#else
typedef u16 references_t; /* enough for fewer entries (directories.c) */
#endif

struct shadow_page {
	u32 frame;      /* of the Guest's page table; NO_FRAME: a shadow directory, or a free page */
	references_t references; /* shadow directory entries that point here */
	u16 next;       /* in the hash bucket, or in the free list; 0 ends both */
	bool local;     /* some entry is not global: a CR3 load flushes it */
	u32 flushed;    /* the value of flushes when it was last synced */
	u32 words;      /* bit n: used[n] is not 0 */
	u32 used[ENTRIES / 32]; /* bit n: entry n may be in use, so that a flush skips the others */
};

/* shadow.c */
extern struct shadow_page *pages; /* page 0 is never used */
extern u32 pool;                  /* address of page 0 */
extern u32 flushes;               /* counts flushes of everything; flushes_wrapped() when it wraps to 0 */

extern u8 absent_page[];          /* all ones: mapped read-only where a Guest maps a frame without memory */

static inline pte_t *page_entries(u16 page)
{
	return (pte_t *)(pool + page * PAGE_BYTES);
}

static inline u16 page_of(pte_t shadow_entry)
{
	return ((u32)shadow_entry - pool) / PAGE_BYTES;
}

/* Mark an entry as in use. */
static inline void page_use(u16 page, u32 index)
{
	pages[page].used[index / 32] |= 1u << index % 32;
	pages[page].words |= 1u << index / 32;
}

/* Mark it as empty. */
static inline void page_unuse(u16 page, u32 index)
{
	if (!(pages[page].used[index / 32] &= ~(1u << index % 32)))
		pages[page].words &= ~(1u << index / 32);
}

static inline bool shadow_table_is_global(u16 page)
{
	return !pages[page].local;
}

static inline u32 shadow_table_frame(u16 page)
{
	return pages[page].frame;
}

/* Write an entry of a shadow table, and keep count of writable mappings and dirty frames. */
static inline void set_shadow_pte(pte_t *place, pte_t entry)
{
	u32 old = shadow_frame(*place), new = shadow_frame(entry);

	if ((*place & PTE_RW) && old < writers_count) {
		writers[old]--;
		if (*place & PTE_D)
			writers[old] |= FRAME_DIRTY;
	}
	if ((entry & PTE_RW) && new < writers_count)
		writers[new]++;
	*place = entry;
}

u32 pool_init(u32 first_free);
bool pages_available(u32 count);
u16 page_alloc(void);
u32 page_next(u16 page, u32 index);
void page_free(u16 page);
u16 shadow_table_find(u32 frame);
u16 shadow_table_make(u32 frame);
void shadow_table_hold(u16 page);
void shadow_table_release(u16 page);
void shadow_table_sync(u16 page);
void shadow_table_sync_one(u16 page, u32 index);
const pte_t *guest_table_of(u16 page);
void flushes_wrapped(void);
extern u32 write_protected_count;
pte_t shadow_pte_slow(pte_t entry);
void absent_page_restore(void);
void write_protect_frames(const u32 *frames, u32 count);
bool is_write_protected(u32 frame);

/*
 * The shadow entry for an entry of the Guest: not present while its accessed bit is clear, not writable while its dirty
 * bit is clear, so that the first access and the first write fault and set these bits.
 */
static inline pte_t shadow_pte(pte_t entry)
{
	if (~(u32)entry & (PTE_P | PTE_A))
		return 0;
	if (!(entry & PTE_D))
		entry &= ~(pte_t)PTE_RW;
	if (write_protected_count || !guest_frame_valid(entry) || is_reserved(entry))
		return shadow_pte_slow(entry);
	return machine.guest_base + (entry & ~GUEST_ONLY_BITS);
}

/* Map a checked entry of the Guest in the shadow, if its accessed bit is set.  False: it is not mapped. */
static inline __attribute__((always_inline)) bool shadow_table_map(u16 page, u32 index, pte_t guest_entry)
{
	pte_t *place = &page_entries(page)[index], old = *place, entry = shadow_pte(guest_entry);

	set_shadow_pte(place, entry);
	if (!entry) {
		if (old)
			page_unuse(page, index);
		return false;
	}
	if (!old)
		page_use(page, index);
	if (!(guest_entry & guest.global))
		pages[page].local = true;
	return true;
}

/*
 * For page_tables.c: the shadow tables of the last two SET_PTEs.  The next one is mostly for a neighbouring address, or for
 * the other directory of a fork.  An entry names a shadow table by its page, so both are invalidated whenever a reference
 * to any table is taken or released.
 */
struct set_pte_cache_entry {
	u32 directory, index;   /* the Guest's directory, and the index in it; SET_PTE_CACHE_INVALID */
	u16 table;              /* the shadow table */
	const pte_t *guest_table; /* NULL: there is no shadow table */
};
extern struct set_pte_cache_entry set_pte_cache, set_pte_cache_second;
#define SET_PTE_CACHE_INVALID ENTRIES /* no address has this index */

static inline void invalidate_set_pte_cache(void)
{
	set_pte_cache.index = set_pte_cache_second.index = SET_PTE_CACHE_INVALID;
}

#endif
