/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between shadow.c (a pool of shadow pages), directories.c (those in use) and page_tables.c (what the Guest may ask). */
#ifndef SHADOW_H
#define SHADOW_H
#include "host_kernel/base/host.h"

#define ENTRIES 1024u
#define FRAME(entry) ((entry) >> 12)
#define INDEX(address) ((address) >> 22)          /* in a directory */
#define SUBINDEX(address) (((address) >> 12) % ENTRIES) /* in a table */
#define SWITCHER_INDEX INDEX(SWITCHER_BASE)
#define LINEAR_FRAME 0x100000u /* "frames" of tables that the Guest does not have: the linear map's, by index */
#define KEPT_ELSEWHERE 0xF98u /* bits of the Guest's entries that a shadow does not have: PWT, PCD, PAT, G and free ones */
#define LARGE_FRAME  0x200000u /* and those that stand for one 4 MiB page, by its number */

/* A cached directory of the Guest's. */
struct directory {
	u32 guest;    /* its physical address; LINEAR_MAP */
	u16 page;     /* its shadow; 0: this slot is free */
	u32 flushed;  /* the last flush of everything that reached it, as flushes counts them */
	u32 used;     /* when it was last the current one, in switches of directory */
	struct directory *next; /* in its bucket */
};

struct shadow_page {
	u32 frame;      /* of the Guest's table it stands for; NO_FRAME: a directory, or free */
	u16 references; /* shadow directory entries that point here */
	u16 next;       /* in the bucket, or in the list of free pages; 0 ends both */
	bool local;     /* some entry is not global: a load of CR3 flushes it */
	u32 flushed;    /* the last flush of everything that reached it */
	u32 words;      /* bit n: used[n] is not 0 */
	u32 used[ENTRIES / 32]; /* bit n: entry n may be in use, so that a flush need not look at all */
};

/* shadow.c */
extern struct shadow_page *pages; /* page 0 is never used */
extern u32 pool;                  /* address of page 0 */
extern u32 flushes;               /* how often everything was flushed */

static inline u32 *page_entries(u16 page)
{
	return (u32 *)(pool + page * PAGE_BYTES);
}

static inline u16 page_of(u32 shadow_entry)
{
	return (shadow_entry - pool) / PAGE_BYTES;
}

/* An entry of this page is in use now. */
static inline void page_use(u16 page, u32 index)
{
	pages[page].used[index / 32] |= 1u << index % 32;
	pages[page].words |= 1u << index / 32;
}

/* It is empty. */
static inline void page_unuse(u16 page, u32 index)
{
	if (!(pages[page].used[index / 32] &= ~(1u << index % 32)))
		pages[page].words &= ~(1u << index / 32);
}

static inline bool table_is_global(u16 page)
{
	return !pages[page].local;
}

static inline u32 table_frame(u16 page)
{
	return pages[page].frame;
}

/* written.c */
#define WRITTEN 0x80000000u /* through a shadow entry that is gone */
extern u32 *writers;        /* for each frame of the Guest's: how many shadow entries let it be written; WRITTEN */
extern u32 writers_count;   /* frames */
u32 writers_init(u32 first_free);
bool take_written(u32 frame);

/* Change an entry of a shadow table. */
static inline void put(u32 *place, u32 entry)
{
	u32 old = FRAME(*place - machine.guest_base), new = FRAME(entry - machine.guest_base);

	if ((*place & PTE_RW) && old < writers_count) {
		writers[old]--;
		if (*place & PTE_D)
			writers[old] |= WRITTEN;
	}
	if ((entry & PTE_RW) && new < writers_count)
		writers[new]++;
	*place = entry;
}

u16 page_alloc(void);
u32 page_next(u16 page, u32 index);
void page_free(u16 page);
u16 table_find(u32 frame);
u16 table_get(u32 frame, bool *shared);
void table_hold(u16 page);
void table_release(u16 page);
void table_sync(u16 page);
void table_sync_one(u16 page, u32 index);
const u32 *table_of_guest(u16 page);
extern u32 watched_count;
u32 shadow_of_rare(u32 entry);

/*
 * What may stand in a shadow for an entry of the Guest's: nothing before its first use, and no write access before
 * its first write, so that the accessed and dirty bits are set in time.
 */
static inline u32 shadow_of(u32 entry)
{
	if (~entry & (PTE_P | PTE_A))
		return 0;
	if (!(entry & PTE_D))
		entry &= ~PTE_RW;
	if (watched_count || !guest_frame_valid(entry))
		return shadow_of_rare(entry);
	return machine.guest_base + (entry & ~KEPT_ELSEWHERE);
}

/* The Guest's entry was checked: have it in the shadow, if it was used before. */
static inline __attribute__((always_inline)) void table_map(u16 page, u32 index, u32 guest_entry)
{
	u32 *place = &page_entries(page)[index], old = *place, entry = shadow_of(guest_entry);

	put(place, entry);
	if (!entry) {
		if (old)
			page_unuse(page, index);
		return;
	}
	if (!old)
		page_use(page, index);
	if (!(guest_entry & PTE_G))
		pages[page].local = true;
}

/* directories.c */
extern u32 directories_changed; /* grows whenever a shadow directory may point elsewhere than before */
void directories_init(u32 switcher_entry);
struct directory *directory_current(void);
struct directory *directory_find(u32 guest_directory);
void directory_enter(u32 guest_directory);
void directory_link(struct directory *directory, u32 index, u32 guest_entry);
void directory_sync_one(struct directory *directory, u32 index);
void directory_sync_below(struct directory *directory, u32 address);
void directory_sync_local(struct directory *directory);
void directory_sync_old(struct directory *directory);
bool directory_evict(void);

/* walk.c */
u32 directory_entry(u32 guest_directory, u32 index);
void bad_directory_entry(u32 entry, u32 address) __attribute__((noreturn, cold));
void bad_entry(u32 entry, u32 address) __attribute__((noreturn, cold));

#define DIRECTORY_FLAGS 0x67u /* P, RW, US, A, D: others have no meaning that we could give them */

/* A paravirtualised Guest dies of an entry that it must not make. */
static inline void check_directory_entry(u32 entry, u32 address)
{
	if (guest.strict && ((entry & (PAGE_BYTES - 1) & ~DIRECTORY_FLAGS) || !guest_frame_valid(entry)))
		bad_directory_entry(entry, address);
}

static inline void check_entry(u32 entry, u32 address)
{
	if (guest.strict && ((entry & PTE_PS) || !guest_frame_valid(entry)))
		bad_entry(entry, address);
}

/* By what the shadow of the table (or of the 4 MiB page) that a directory's entry names is found. */
static inline u32 table_key(u32 entry)
{
	return guest.large_pages && (entry & PTE_PS) ? LARGE_FRAME + INDEX(entry) : FRAME(entry);
}

/*
 * Where in our memory the Guest's address lies, if the shadow maps it now and, for a write, lets it be written; else
 * NULL, and walk() knows more.  As old as an entry of a TLB may be.
 */
static inline u8 *mapped(u32 address, bool write)
{
	u32 upper, entry = 0;

	if (INDEX(address) == SWITCHER_INDEX)
		return NULL;
	upper = page_entries(directory_current()->page)[INDEX(address)];
	if (upper)
		entry = page_entries(page_of(upper))[SUBINDEX(address)];
	if (entry < machine.guest_base || (write && !(entry & upper & PTE_RW)))
		return NULL;
	return (u8 *)(entry & ~(PAGE_BYTES - 1)) + address % PAGE_BYTES;
}

#endif
