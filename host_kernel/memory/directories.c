/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow page directories: a cache with one for each page directory that the Guest used recently, so that a switch back
 * to it needs no refill.  The Switcher loads the current one as CR3 (state->guest_cr3).
 *
 * Read before: shadow.c.  Read next: page_tables.c.
 */
#include "host_kernel/memory/directories.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/walk.h"

#define DIRECTORIES 64
_Static_assert(DIRECTORIES * SWITCHER_INDEX < 0xFFFF, "a table's references, and one more on the way, fit 16 bits");
#define LINK_FLAGS (PTE_RW | PTE_US) /* of a directory entry: the CPU combines them with the table entry's */

static struct shadow_directory shadow_directories[DIRECTORIES];
static struct shadow_directory *buckets[DIRECTORIES];
static struct shadow_directory *current HOT;
static u32 switcher_entry; /* of the Switcher's 4 MiB; the same in all */
static u32 switches HOT;

void shadow_directories_init(u32 entry)
{
	switcher_entry = entry;
}

struct shadow_directory *shadow_directory_current(void)
{
	return current;
}

static inline struct shadow_directory **bucket_of(u32 guest_directory)
{
	return &buckets[FRAME(guest_directory) % DIRECTORIES];
}

struct shadow_directory *shadow_directory_find(u32 guest_directory)
{
	struct shadow_directory *each = *bucket_of(guest_directory);

	while (each && each->guest != guest_directory)
		each = each->next;
	return each;
}

static void unlink(struct shadow_directory *directory, u32 index)
{
	u32 *entry = page_entries(directory->page) + index;

	if (*entry) {
		shadow_table_release(page_of(*entry));
		*entry = 0;
		page_unuse(directory->page, index);
	}
}

static void drop(struct shadow_directory *directory)
{
	struct shadow_directory **link = bucket_of(directory->guest);

	while (*link != directory)
		link = &(*link)->next;
	*link = directory->next;
	for (u32 index = page_next(directory->page, 0); index < SWITCHER_INDEX; index = page_next(directory->page, index + 1))
		unlink(directory, index);
	page_free(directory->page);
	directory->page = 0;
}

/* Evict the least recently used directory, never the current one; false if there is no other. */
static bool evict(void)
{
	struct shadow_directory *oldest = NULL;

	for (struct shadow_directory *each = shadow_directories; each < shadow_directories + DIRECTORIES; each++)
		if (each->page && each != current && (!oldest || switches - each->used > switches - oldest->used))
			oldest = each;
	if (!oldest)
		return false;
	drop(oldest);
	return true;
}

static void make_room(void)
{
	while (!page_available())
		if (!evict())
			host_failed("no memory for shadow page tables");
}

/* The first entry of the Guest's kernel: from here on all its directories are the same. */
static u32 kernel_index(void)
{
	return guest.kernel_address ? INDEX(guest.kernel_address) : SWITCHER_INDEX;
}

/* Link the shadow of the page table that the Guest's checked entry names into a shadow directory. */
void shadow_directory_link(struct shadow_directory *directory, u32 index, u32 guest_entry)
{
	u32 key = shadow_table_key(guest_entry);
	u16 page = shadow_table_find(key);

	if (!page) {
		make_room();
		page = shadow_table_make(key);
		shadow_table_hold(page);
	} else {
		shadow_table_hold(page);
		/* It was made for another directory: entries that are stale there must not be visible here. */
		if (!shadow_table_is_global(page) || pages[page].flushed != flushes)
			shadow_table_sync(page);
	}
	unlink(directory, index);
	page_use(directory->page, index);
	page_entries(directory->page)[index] = (u32)page_entries(page) | PTE_P | PTE_A | (guest_entry & LINK_FLAGS);
}

/* Does the shadow's entry still match the Guest's? */
static bool agrees(u32 shadow_entry, u32 guest_entry)
{
	return shadow_entry && (guest_entry & PTE_P) && shadow_table_frame(page_of(shadow_entry)) == shadow_table_key(guest_entry) &&
	       !((shadow_entry ^ guest_entry) & LINK_FLAGS);
}

/* Sync one entry of a directory: unlink a stale table, link one that already has a shadow. */
void OFTEN shadow_directory_sync_one(struct shadow_directory *directory, u32 index)
{
	u32 entry = guest_pde(directory->guest, index);

	if (entry & PTE_P)
		check_pde(entry, index << 22);
	if (agrees(page_entries(directory->page)[index], entry))
		return;
	if ((entry & PTE_P) && shadow_table_find(shadow_table_key(entry)))
		shadow_directory_link(directory, index, entry);
	else
		unlink(directory, index);
}

/*
 * Sync the entries of a directory below index end, and those of their tables for which which() is true.  A shadow
 * directory has a handful of tables, a table has hundreds of pages.
 */
static inline void sync(struct shadow_directory *directory, u32 end, bool (*which)(u16 table))
{
	const struct shadow_page *own = &pages[directory->page];
	const u32 *entries = page_entries(directory->page);

	if (directory->guest == LINEAR_MAP)
		return;
	for (u32 words = own->words; words; words &= words - 1) {
		u32 first = __builtin_ctz(words) * 32;

		for (u32 bits = own->used[first / 32]; bits; bits &= bits - 1) {
			u32 index = first + __builtin_ctz(bits);

			if (index >= end)
				return;
			shadow_directory_sync_one(directory, index);
			if (entries[index] && which(page_of(entries[index])))
				shadow_table_sync(page_of(entries[index]));
		}
	}
}

static inline bool any(u16 table)
{
	(void)table;
	return true;
}

static inline bool is_local(u16 table)
{
	return !shadow_table_is_global(table);
}

/* A table that several directories share is synced with the first of them. */
static inline bool is_stale(u16 table)
{
	return pages[table].flushed != flushes;
}

/* Flush the addresses below this one. */
void shadow_directory_sync_below(struct shadow_directory *directory, u32 address)
{
	sync(directory, INDEX(address), any);
}

/* The flush of a CR3 load: all tables but those that have only global entries. */
void shadow_directory_sync_local(struct shadow_directory *directory)
{
	sync(directory, SWITCHER_INDEX, is_local);
}

/* A flush of everything is done for a directory when it is the current one. */
void shadow_directory_sync_stale(struct shadow_directory *directory)
{
	directory->flushed = flushes;
	sync(directory, SWITCHER_INDEX, is_stale);
}

void shadow_directories_all_stale(void)
{
	for (u32 index = 0; index < DIRECTORIES; index++)
		shadow_directories[index].flushed = 0;
}

static struct shadow_directory *make(u32 guest_directory)
{
	struct shadow_directory *slot = shadow_directories;

	while (slot < shadow_directories + DIRECTORIES && slot->page)
		slot++;
	if (slot == shadow_directories + DIRECTORIES) {
		evict();
		for (slot = shadow_directories; slot->page; slot++)
			;
	}
	make_room();
	*slot = (struct shadow_directory){ .guest = guest_directory, .page = page_alloc(), .flushed = flushes,
				    .next = *bucket_of(guest_directory) };
	*bucket_of(guest_directory) = slot;
	page_entries(slot->page)[SWITCHER_INDEX] = switcher_entry;
	page_use(slot->page, SWITCHER_INDEX);
	/* All directories share the kernel's tables: link those that are in use now. */
	if (current)
		for (u32 index = page_next(current->page, kernel_index()); index < SWITCHER_INDEX;
		     index = page_next(current->page, index + 1))
			shadow_directory_sync_one(slot, index);
	return slot;
}

/* Make the shadow of this page directory of the Guest the current one. */
void OFTEN shadow_directory_enter(u32 guest_directory)
{
	struct shadow_directory *next = shadow_directory_find(guest_directory);

	if (!next)
		next = make(guest_directory);
	if (current && current->guest == LINEAR_MAP && next != current)
		drop(current);
	current = next;
	next->used = ++switches;
	state->guest_cr3 = (u32)page_entries(next->page);
	if (next->flushed != flushes)
		shadow_directory_sync_stale(next);
}
