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
#include "shadow.h"

#define BUCKETS 1024u
#define NO_FRAME 0xFFFFFFFFu

struct shadow_page {
	u32 frame;      /* of the Guest's table it stands for; NO_FRAME: a directory, or free */
	u16 references; /* shadow directory entries that point here */
	u16 next;       /* in the bucket, or in the list of free pages; 0 ends both */
	bool local;     /* some entry is not global: a load of CR3 flushes it */
	u32 used[ENTRIES / 32]; /* bit n: entry n may be in use, so that a flush need not look at all */
};

static struct shadow_page *pages; /* page 0 is never used */
static u32 pool;                  /* address of page 0 */
static u16 buckets[BUCKETS];
static u16 free_list;
static u8 nothing[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES))); /* what is read where no memory is: all ones */
static u32 watched[WATCHED_FRAMES];
static u32 watched_count;

/* Undo what the Guest wrote where there is nothing. */
void nothing_restore(void)
{
	memset(nothing, 0xFF, sizeof(nothing));
}

/* Takes all of the Host area from first_free on.  Returns how many pages the pool has. */
u32 pool_init(u32 first_free)
{
	u32 count = (machine.guest_base - first_free) / (PAGE_BYTES + sizeof(struct shadow_page));

	if (count > 0xFFFF)
		count = 0xFFFF;
	nothing_restore();
	pages = (struct shadow_page *)first_free;
	pool = machine.guest_base - count * PAGE_BYTES;
	for (u32 page = count - 1; page; page--) {
		pages[page] = (struct shadow_page){ .frame = NO_FRAME, .next = free_list };
		free_list = page;
	}
	return count;
}

u32 *page_entries(u16 page)
{
	return (u32 *)(pool + page * PAGE_BYTES);
}

u16 page_of(u32 shadow_entry)
{
	return (shadow_entry - pool) / PAGE_BYTES;
}

/* An empty page; directories that were not used for long make room. */
u16 page_alloc(void)
{
	u16 page;

	while (!free_list)
		if (!directory_evict())
			host_failed("no memory for shadow page tables");
	page = free_list;
	free_list = pages[page].next;
	pages[page] = (struct shadow_page){ .frame = NO_FRAME };
	memset(page_entries(page), 0, PAGE_BYTES);
	return page;
}

void page_free(u16 page)
{
	pages[page] = (struct shadow_page){ .frame = NO_FRAME, .next = free_list };
	free_list = page;
}

u16 table_find(u32 frame)
{
	u16 page = buckets[frame % BUCKETS];

	while (page && pages[page].frame != frame)
		page = pages[page].next;
	return page;
}

/* The shadow of the Guest's table in this frame; *shared tells that others use it already. */
u16 table_get(u32 frame, bool *shared)
{
	u16 page = table_find(frame);

	*shared = page != 0;
	if (!page) {
		page = page_alloc();
		pages[page].frame = frame;
		pages[page].next = buckets[frame % BUCKETS];
		buckets[frame % BUCKETS] = page;
	}
	return page;
}

/* An entry of this page is in use now. */
void page_use(u16 page, u32 index)
{
	pages[page].used[index / 32] |= 1u << index % 32;
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
		pages[page].used[index / 32] &= ~(1u << index % 32);
	}
	return ENTRIES;
}

bool table_is_global(u16 page)
{
	return !pages[page].local;
}

u32 table_frame(u16 page)
{
	return pages[page].frame;
}

void table_hold(u16 page)
{
	pages[page].references++;
}

void table_release(u16 page)
{
	u16 *link = &buckets[pages[page].frame % BUCKETS];

	if (--pages[page].references)
		return;
	while (*link != page)
		link = &pages[*link].next;
	*link = pages[page].next;
	page_free(page);
}

bool is_watched(u32 frame)
{
	for (u32 index = 0; index < watched_count; index++)
		if (watched[index] == frame)
			return true;
	return false;
}

/*
 * What may stand in a shadow for an entry of the Guest's: nothing before its first use, and no write access before
 * its first write, so that the accessed and dirty bits are set in time; nor to a page whose changes we must notice.
 */
static inline u32 shadow_of(u32 entry)
{
	u32 flags = entry & (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D);

	if (~entry & (PTE_P | PTE_A))
		return 0;
	if (!(entry & PTE_D) || (watched_count && is_watched(FRAME(entry))))
		flags &= ~PTE_RW;
	if (!guest_frame_valid(entry))
		return (u32)nothing | (flags & ~PTE_RW);
	return machine.guest_base + (entry & ~(PAGE_BYTES - 1)) + flags;
}

static inline void set(u16 page, u32 index, u32 guest_entry)
{
	u32 entry = shadow_of(guest_entry);

	page_entries(page)[index] = entry;
	if (!entry)
		return;
	page_use(page, index);
	if (!(guest_entry & PTE_G))
		pages[page].local = true;
}

/* The Guest's entry was checked, and is used now. */
void table_map(u16 page, u32 index, u32 guest_entry)
{
	set(page, index, guest_entry);
}

/* From now on writes to these frames, and to no others, are faults: what is mapped already is mapped anew. */
void watch_frames(const u32 *frames, u32 count)
{
	watched_count = 0;
	for (; watched_count < count && watched_count < WATCHED_FRAMES; watched_count++)
		watched[watched_count] = frames[watched_count];
	for (u32 bucket = 0; bucket < BUCKETS; bucket++) {
		for (u16 page = buckets[bucket]; page; page = pages[page].next) {
			u32 *entries = page_entries(page);

			for (u32 index = page_next(page, 0); index < ENTRIES; index = page_next(page, index + 1))
				if (is_watched(FRAME(entries[index] - machine.guest_base)))
					entries[index] &= ~PTE_RW;
		}
	}
}

/* The Guest's table that a shadow stands for: its frame was checked when it was linked.  NULL: it has none. */
static const u32 *guest_table(u16 page)
{
	if (pages[page].frame >= LINEAR_FRAME)
		return NULL;
	return (const u32 *)(machine.guest_base + (pages[page].frame << 12));
}

/* Look again at one entry, and map it at once if the Guest has used it before. */
void table_sync_one(u16 page, u32 index)
{
	const u32 *theirs = guest_table(page);
	u32 entry;

	if (!theirs)
		return;
	entry = read_once(&theirs[index]);
	if (entry & PTE_P)
		check_entry(entry, index << 12);
	set(page, index, entry);
}

/* Does a shadow entry still say what the Guest's does?  It may allow less: no write before the first. */
static bool still_holds(u32 shadow_entry, u32 entry)
{
	u32 differs = (shadow_entry - machine.guest_base) ^ entry;

	return !(differs & (~(PAGE_BYTES - 1) | PTE_P | PTE_US | PTE_A | PTE_D)) && !(differs & shadow_entry & PTE_RW);
}

/* Look again at all entries that are in use. */
void table_sync(u16 page)
{
	const u32 *theirs = guest_table(page);
	const u32 *entries = page_entries(page);

	if (!theirs)
		return;
	for (u32 word = 0; word < ENTRIES / 32; word++) {
		for (u32 bits = pages[page].used[word]; bits; bits &= bits - 1) {
			u32 index = word * 32 + __builtin_ctz(bits), entry = read_once(&theirs[index]);

			if (still_holds(entries[index], entry))
				continue;
			if (entry & PTE_P)
				check_entry(entry, index << 12);
			set(page, index, entry);
			if (!entries[index])
				pages[page].used[word] &= ~(1u << index % 32);
		}
	}
}
