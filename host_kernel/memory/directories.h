/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shadow page directories, one of which is the current one.  Read next: directories.c. */
#ifndef HOST_KERNEL_MEMORY_DIRECTORIES_H
#define HOST_KERNEL_MEMORY_DIRECTORIES_H
#include "host_kernel/memory/shadow.h"

#define LINK_FLAGS (PTE_RW | PTE_US | PTE_NX) /* of a directory entry: the CPU combines them with the table entry's */

/*
 * Those for an entry of the Guest.  A large page is not writable while its dirty bit is clear, so that the first write faults
 * and sets it.
 */
static inline pte_t link_flags(pte_t guest_entry)
{
	pte_t flags = guest_entry & LINK_FLAGS;

	if ((guest_entry & (PTE_PS | PTE_D)) == PTE_PS && is_large(guest_entry))
		flags &= ~(pte_t)PTE_RW;
	return flags;
}

/* The shadow of one page directory of the Guest; with PAE, of one PDPT and its four page directories. */
struct shadow_directory {
#ifdef PAE
	u64 pdpt[4] __attribute__((aligned(32))); /* what CR3 leads to */
	u32 pdptes[4]; /* the Guest's, as guest.pdptes was when it was last entered */
#endif
	u32 guest;    /* Guest-physical address of the Guest's directory; or LINEAR_MAP */
	u16 page[DIRECTORY_PAGES]; /* the shadow pages; page[0] is 0: this slot is free */
	u32 flushed;  /* the value of flushes when it was last synced */
	u32 used;     /* the value of switches when it was last entered */
	struct shadow_directory *next; /* in its bucket */
};

static inline pte_t *directory_entry(const struct shadow_directory *directory, u32 index)
{
#ifdef PAE
	return page_entries(directory->page[index / ENTRIES]) + index % ENTRIES;
#else
	return page_entries(directory->page[0]) + index;
#endif
}

void shadow_directories_init(const pte_t *switcher_entries);
struct shadow_directory *shadow_directory_current(void);
struct shadow_directory *shadow_directory_find(u32 guest_directory);
void shadow_directory_enter(u32 guest_directory);
void shadow_directory_link(struct shadow_directory *directory, u32 index, pte_t guest_entry);
void shadow_directory_sync_one(struct shadow_directory *directory, u32 index);
void shadow_directory_sync_below(struct shadow_directory *directory, u32 address);
void shadow_directory_sync_local(struct shadow_directory *directory);
void shadow_directory_sync_stale(struct shadow_directory *directory);
void shadow_directories_all_stale(void);
void shadow_directories_clear(void);

#endif
