/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shadow directories: one for each page directory that the Guest used lately, so that going back to it costs no
 * refill.  One of them is the current one, whose shadow is in the state page for the Switcher to load.
 *
 * Read before: shadow.c.  Read next: page_tables.c.
 */
#include "shadow.h"

#define DIRECTORIES 64
#define LINK_FLAGS (PTE_RW | PTE_US) /* of a directory entry: what the CPU adds up with the table's */

static struct directory directories[DIRECTORIES];
static struct directory *current;
static u32 switcher_entry; /* the same in all */
static u32 switches;
u32 directories_changed;

void directories_init(u32 entry)
{
	switcher_entry = entry;
}

struct directory *directory_current(void)
{
	return current;
}

struct directory *directory_find(u32 guest_directory)
{
	if (current && current->guest == guest_directory)
		return current;
	for (struct directory *each = directories; each < directories + DIRECTORIES; each++)
		if (each->page && each->guest == guest_directory)
			return each;
	return NULL;
}

static void unlink(struct directory *directory, u32 index)
{
	u32 *entry = page_entries(directory->page) + index;

	directories_changed++;
	if (*entry) {
		table_release(page_of(*entry));
		*entry = 0;
	}
}

static void drop(struct directory *directory)
{
	for (u32 index = page_next(directory->page, 0); index < SWITCHER_INDEX; index = page_next(directory->page, index + 1))
		unlink(directory, index);
	page_free(directory->page);
	directory->page = 0;
}

/* Where the Guest's kernel begins: from here on all its directories agree. */
static u32 kernel_index(void)
{
	return guest.kernel_address ? INDEX(guest.kernel_address) : SWITCHER_INDEX;
}

/* Point a shadow directory at the shadow of the table that the Guest's checked entry names. */
void directory_link(struct directory *directory, u32 index, u32 guest_entry)
{
	bool shared;
	u16 page = table_get(table_key(guest_entry), &shared);

	table_hold(page);
	/* It has an old life elsewhere: that nobody flushed it there must not be seen here. */
	if (shared && !table_is_global(page))
		table_sync(page);
	unlink(directory, index);
	page_use(directory->page, index);
	page_entries(directory->page)[index] = (u32)page_entries(page) | PTE_P | PTE_A | (guest_entry & LINK_FLAGS);
}

/* Does the shadow's entry still say what the Guest's says? */
static bool agrees(u32 shadow_entry, u32 guest_entry)
{
	return shadow_entry && (guest_entry & PTE_P) && table_frame(page_of(shadow_entry)) == table_key(guest_entry) &&
	       !((shadow_entry ^ guest_entry) & LINK_FLAGS);
}

/* Look again at one entry of a directory: drop what no longer holds, and link the kernel's at once. */
void directory_sync_one(struct directory *directory, u32 index)
{
	u32 entry = directory_entry(directory->guest, index);

	if (entry & PTE_P)
		check_directory_entry(entry, index << 22);
	if (agrees(page_entries(directory->page)[index], entry))
		return;
	if ((entry & PTE_P) && table_find(table_key(entry)))
		directory_link(directory, index, entry);
	else
		unlink(directory, index);
}

/* Look again at everything that a directory maps from index first up to, not including, end. */
void directory_sync(struct directory *directory, u32 first, u32 end)
{
	if (directory->guest == LINEAR_MAP)
		return;
	for (u32 index = page_next(directory->page, first); index < end; index = page_next(directory->page, index + 1)) {
		u32 *entry = page_entries(directory->page) + index;

		directory_sync_one(directory, index);
		if (*entry)
			table_sync(page_of(*entry));
	}
}

/* What a load of CR3 flushes: all but the tables that hold nothing but global entries. */
void directory_sync_local(struct directory *directory)
{
	if (directory->guest == LINEAR_MAP)
		return;
	for (u32 index = page_next(directory->page, 0); index < SWITCHER_INDEX; index = page_next(directory->page, index + 1)) {
		u32 *entry = page_entries(directory->page) + index;

		directory_sync_one(directory, index);
		if (*entry && !table_is_global(page_of(*entry)))
			table_sync(page_of(*entry));
	}
}

/* The one that has not been used for longest makes room, but never the current one; false if there is none. */
bool directory_evict(void)
{
	struct directory *oldest = NULL;

	for (struct directory *each = directories; each < directories + DIRECTORIES; each++)
		if (each->page && each != current && (!oldest || switches - each->used > switches - oldest->used))
			oldest = each;
	if (!oldest)
		return false;
	drop(oldest);
	return true;
}

static struct directory *make(u32 guest_directory)
{
	struct directory *slot = directories;

	while (slot < directories + DIRECTORIES && slot->page)
		slot++;
	if (slot == directories + DIRECTORIES) {
		directory_evict();
		for (slot = directories; slot->page; slot++)
			;
	}
	*slot = (struct directory){ .guest = guest_directory, .page = page_alloc() };
	page_entries(slot->page)[SWITCHER_INDEX] = switcher_entry;
	for (u32 index = kernel_index(); index < SWITCHER_INDEX; index++)
		directory_sync_one(slot, index);
	return slot;
}

/* Make a directory of the Guest's the current one. */
void directory_enter(u32 guest_directory)
{
	struct directory *next = directory_find(guest_directory);

	if (!next)
		next = make(guest_directory);
	if (current && current->guest == LINEAR_MAP && next != current)
		drop(current);
	current = next;
	next->used = ++switches;
	if (next->stale) {
		next->stale = false;
		directory_sync(next, 0, SWITCHER_INDEX);
	}
	state->guest_cr3 = (u32)page_entries(next->page);
}

/* All but the current one must be looked at before they are used again. */
void directories_stale(void)
{
	for (struct directory *each = directories; each < directories + DIRECTORIES; each++)
		each->stale = each != current;
}
