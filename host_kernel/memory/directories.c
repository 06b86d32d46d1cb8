/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow page directories: a cache with one for each page directory that the Guest used recently, so that a switch back
 * to it needs no refill.  The Switcher loads the current one as CR3 (state->guest_cr3).
 *
 * Read before: shadow.c.  Read next: page_tables.c.
 * Next in the book: fault.c.
 */
#include "host_kernel/memory/directories.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/print.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/walk.h"

#define DIRECTORIES 64
_Static_assert((DIRECTORIES * SWITCHER_INDEX + 1ull) >> 8 * sizeof(references_t) == 0, "of a table, and one more on the way");
#define SWITCHER_ENTRIES (DIRECTORY_ENTRIES - SWITCHER_INDEX)

static struct shadow_directory shadow_directories[DIRECTORIES];
static struct shadow_directory *buckets[DIRECTORIES];
static struct shadow_directory *current HOT;
static pte_t switcher_entry[SWITCHER_ENTRIES]; /* of the Switcher's 4 MiB; the same in all */
static u32 switches HOT;

void shadow_directories_init(const pte_t *entries)
{
	memcpy(switcher_entry, entries, sizeof(switcher_entry));
}

struct shadow_directory *shadow_directory_current(void)
{
	return current;
}

static inline struct shadow_directory **bucket_of(u32 guest_directory)
{
#ifdef PAE
	return &buckets[guest_directory / 32 % DIRECTORIES]; /* many PDPTs in a page */
#else
	return &buckets[FRAME(guest_directory) % DIRECTORIES];
#endif
}

/* The entry that the Guest has at this index of a directory; in the linear map every entry is present. */
static pte_t guest_entry_of(const struct shadow_directory *directory, u32 index)
{
	if (directory->guest == LINEAR_MAP)
		return (LINEAR_FRAME + index) << 12 | LINEAR_FLAGS;
#ifdef PAE
	u32 table = directory->pdptes[index / ENTRIES];

	return table ? read_entry(entry_of_guest_table(table, index % ENTRIES)) : 0;
#else
	return read_entry(entry_of_guest_table(directory->guest, index));
#endif
}

/* The Guest's page of this directory, which is not the linear map; NULL: there is none. */
static inline const pte_t *guest_page_of(const struct shadow_directory *directory, u32 page)
{
#ifdef PAE
	return directory->pdptes[page] ? entry_of_guest_table(directory->pdptes[page], 0) : NULL;
#else
	return entry_of_guest_table(directory->guest, page);
#endif
}

/* The first entry in use from index on, or one of the Switcher's. */
static u32 directory_next(const struct shadow_directory *directory, u32 index)
{
#ifdef PAE
	for (; index < SWITCHER_INDEX; index = (index | (ENTRIES - 1)) + 1) {
		u32 found = page_next(directory->page[index / ENTRIES], index % ENTRIES);

		if (found < ENTRIES)
			return (index & ~(ENTRIES - 1)) + found;
	}
	return index;
#else
	return page_next(directory->page[0], index);
#endif
}

static void directory_use(struct shadow_directory *directory, u32 index)
{
	page_use(directory->page[index / ENTRIES], index % ENTRIES);
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
	pte_t *entry = directory_entry(directory, index);

	if (*entry) {
		shadow_table_release(page_of(*entry));
		*entry = 0;
		page_unuse(directory->page[index / ENTRIES], index % ENTRIES);
	}
}

static void unlink_all(struct shadow_directory *directory)
{
	for (u32 index = directory_next(directory, 0); index < SWITCHER_INDEX; index = directory_next(directory, index + 1))
		unlink(directory, index);
}

static void drop(struct shadow_directory *directory)
{
	struct shadow_directory **link = bucket_of(directory->guest);

	while (*link != directory)
		link = &(*link)->next;
	*link = directory->next;
	unlink_all(directory);
	for (u32 page = 0; page < DIRECTORY_PAGES; page++)
		page_free(directory->page[page]);
	directory->page[0] = 0;
}

/* Evict the least recently used directory, never the current one; false if there is no other. */
static bool evict(void)
{
	struct shadow_directory *oldest = NULL;

	for (struct shadow_directory *each = shadow_directories; each < shadow_directories + DIRECTORIES; each++)
		if (each->page[0] && each != current && (!oldest || switches - each->used > switches - oldest->used))
			oldest = each;
	if (!oldest)
		return false;
	drop(oldest);
	return true;
}

static void make_room(u32 count)
{
	while (!pages_available(count))
		if (!evict())
			host_failed("no memory for shadow page tables");
}

/* The first entry of the Guest's kernel: from here on all its directories are the same. */
static u32 kernel_index(void)
{
	return guest.kernel_address ? INDEX(guest.kernel_address) : SWITCHER_INDEX;
}

/* Link the shadow of the page table that the Guest's checked entry names into a shadow directory. */
void shadow_directory_link(struct shadow_directory *directory, u32 index, pte_t guest_entry)
{
	u32 key = shadow_table_key(guest_entry);
	u16 page = shadow_table_find(key);

	if (!page) {
		make_room(1);
		page = shadow_table_make(key);
		shadow_table_hold(page);
	} else {
		shadow_table_hold(page);
		/* It was made for another directory: entries that are stale there must not be visible here. */
		if (!shadow_table_is_global(page) || pages[page].flushed != flushes)
			shadow_table_sync(page);
	}
	unlink(directory, index);
	directory_use(directory, index);
	*directory_entry(directory, index) = (u32)page_entries(page) | PTE_P | PTE_A | link_flags(guest_entry);
}

/* May it be linked?  While its accessed bit is clear, the first access must fault. */
static bool is_linkable(pte_t guest_entry)
{
	return !(~(u32)guest_entry & (PTE_P | PTE_A));
}

/* Does the shadow's entry still match the Guest's? */
static inline __attribute__((always_inline)) bool agrees(pte_t shadow_entry, pte_t guest_entry)
{
	return shadow_entry && is_linkable(guest_entry) && shadow_table_frame(page_of(shadow_entry)) == shadow_table_key(guest_entry) &&
	       !((shadow_entry ^ link_flags(guest_entry)) & LINK_FLAGS);
}

/* Sync one entry of a directory: unlink a stale table, link one that already has a shadow. */
void OFTEN shadow_directory_sync_one(struct shadow_directory *directory, u32 index)
{
	pte_t entry = guest_entry_of(directory, index);

	if (is_reserved_pde(entry))
		entry = 0;
	if (entry & PTE_P)
		check_pde(entry, index << LARGE_SHIFT);
	if (agrees(*directory_entry(directory, index), entry))
		return;
	if (is_linkable(entry) && shadow_table_find(shadow_table_key(entry)))
		shadow_directory_link(directory, index, entry);
	else
		unlink(directory, index);
}

/*
 * Sync the entries of a directory below index end, and those of their tables for which which() is true.  A shadow
 * directory has a handful of tables, a table has hundreds of pages.  look: see here whether an entry is as it was, as nearly
 * all are of an unmodified kernel, which has many; its invalid ones need not be found (check_pde()).
 */
static inline __attribute__((always_inline)) void sync(struct shadow_directory *directory, u32 end, bool (*which)(u16 table),
							bool look)
{
	if (directory->guest == LINEAR_MAP)
		return;
	for (u32 page = 0; page < DIRECTORY_PAGES; page++) {
		const struct shadow_page *own = &pages[directory->page[page]];
		const pte_t *entries = page_entries(directory->page[page]);
		const pte_t *guest_entries = look ? guest_page_of(directory, page) : NULL;

		for (u32 words = own->words; words; words &= words - 1) {
			u32 first = __builtin_ctz(words) * 32;

			for (u32 bits = own->used[first / 32]; bits; bits &= bits - 1) {
				u32 at = first + __builtin_ctz(bits), index = page * ENTRIES + at;
				pte_t guest_entry = guest_entries ? read_entry(&guest_entries[at]) : 0;

				if (index >= end)
					return;
				if (!look || is_reserved_pde(guest_entry) || !agrees(entries[at], guest_entry))
					shadow_directory_sync_one(directory, index);
				if (entries[at] && which(page_of(entries[at])))
					shadow_table_sync(page_of(entries[at]));
			}
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
	sync(directory, INDEX(address), any, false);
}

/* The flush of an unmodified kernel's load of CR3: all tables but those that have only global entries. */
void OFTEN shadow_directory_sync_local(struct shadow_directory *directory)
{
	sync(directory, SWITCHER_INDEX, is_local, true);
}

/* A flush of everything is done for a directory when it is the current one. */
void shadow_directory_sync_stale(struct shadow_directory *directory)
{
	directory->flushed = flushes;
	sync(directory, SWITCHER_INDEX, is_stale, false);
}

void shadow_directories_all_stale(void)
{
	for (u32 index = 0; index < DIRECTORIES; index++)
		shadow_directories[index].flushed = 0;
}

/* Forget what all directories map, so that every access faults and walks anew. */
void shadow_directories_clear(void)
{
	for (u32 index = 0; index < DIRECTORIES; index++)
		if (shadow_directories[index].page[0])
			unlink_all(&shadow_directories[index]);
}

static struct shadow_directory *make(u32 guest_directory)
{
	struct shadow_directory *slot = shadow_directories;

	while (slot < shadow_directories + DIRECTORIES && slot->page[0])
		slot++;
	if (slot == shadow_directories + DIRECTORIES) {
		evict();
		for (slot = shadow_directories; slot->page[0]; slot++)
			;
	}
	make_room(DIRECTORY_PAGES);
	*slot = (struct shadow_directory){ .guest = guest_directory, .flushed = flushes, .next = *bucket_of(guest_directory) };
	*bucket_of(guest_directory) = slot;
	for (u32 page = 0; page < DIRECTORY_PAGES; page++) {
		slot->page[page] = page_alloc();
#ifdef PAE
		slot->pdpt[page] = (u32)page_entries(slot->page[page]) | PTE_P;
		slot->pdptes[page] = guest.pdptes[page];
#endif
	}
	for (u32 index = SWITCHER_INDEX; index < DIRECTORY_ENTRIES; index++) {
		*directory_entry(slot, index) = switcher_entry[index - SWITCHER_INDEX];
		directory_use(slot, index);
	}
	/* All directories share the kernel's tables: link those that are in use now. */
	if (current)
		for (u32 index = directory_next(current, kernel_index()); index < SWITCHER_INDEX;
		     index = directory_next(current, index + 1))
			shadow_directory_sync_one(slot, index);
	return slot;
}

#ifdef PAE
/* The Guest's PDPT has other entries than when this was last entered: follow them. */
static void sync_pdptes(struct shadow_directory *directory)
{
	for (u32 part = 0; part < DIRECTORY_PAGES; part++) {
		u32 end = (part + 1) * ENTRIES;

		if (directory->pdptes[part] == guest.pdptes[part])
			continue;
		directory->pdptes[part] = guest.pdptes[part];
		for (u32 index = directory_next(directory, part * ENTRIES); index < end && index < SWITCHER_INDEX;
		     index = directory_next(directory, index + 1))
			shadow_directory_sync_one(directory, index);
	}
}
#endif

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
#ifdef PAE
	sync_pdptes(next);
	state->guest_cr3 = (u32)next->pdpt;
#else
	state->guest_cr3 = (u32)page_entries(next->page[0]);
#endif
	if (next->flushed != flushes)
		shadow_directory_sync_stale(next);
}
