/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format of page tables and of a page fault's error code.  Source: Intel SDM vol. 3, 4.3, 4.4 and 4.7.
 *
 * The Host kernel is built twice: with tables of two levels, and with PAE defined, with those of PAE paging.  The Host's own
 * tables, the shadow tables and the Guest's are of the same form.  With PAE the four page directories below a PDPT count as
 * one of DIRECTORY_ENTRIES entries; an entry's address of 4 GiB or more is NOWHERE, for no memory is there.
 * Next in the book: walk.h.
 */
#ifndef HOST_KERNEL_MEMORY_PAGING_H
#define HOST_KERNEL_MEMORY_PAGING_H
#include "switcher/layouts/lguest_pages.h"

#ifdef PAE
typedef u64 pte_t;
#define ENTRIES 512u      /* of a page table, and of a page of a directory */
#define DIRECTORY_PAGES 4u
#define LARGE_SHIFT 21    /* what a directory entry maps: 2 MiB, */
#define PTE_NX 0x8000000000000000ull
#else
typedef u32 pte_t;
#define ENTRIES 1024u
#define DIRECTORY_PAGES 1u
#define LARGE_SHIFT 22    /* or 4 MiB */
#define PTE_NX 0u         /* there is no such bit */
#endif

#define PTE_P  0x001
#define PTE_RW 0x002
#define PTE_US 0x004
#define PTE_PCD 0x010
#define PTE_A  0x020
#define PTE_D  0x040
#define PTE_PS 0x080
#define PTE_G  0x100

#define FAULT_P  1 /* error code bits of a page fault */
#define FAULT_W  2
#define FAULT_US 4
#define FAULT_RESERVED 8
#define FAULT_FETCH 16

#define DIRECTORY_ENTRIES (DIRECTORY_PAGES * ENTRIES)
#define LARGE_BYTES (1u << LARGE_SHIFT)
#define LARGE_BASE(address) ((address) & ~(LARGE_BYTES - 1))
#define INDEX(address) ((address) >> LARGE_SHIFT)       /* in a page directory */
#define SUBINDEX(address) (((address) >> 12) % ENTRIES) /* in a page table */
#define SWITCHER_INDEX INDEX(SWITCHER_BASE)             /* the Switcher has all entries from here on */
#define NOWHERE 0xFFFFF000u                             /* the address of a page without memory */

/* The address of the frame that an entry names. */
static inline u32 entry_address(pte_t entry)
{
#ifdef PAE
	if ((entry & ~PTE_NX) >> 32)
		return NOWHERE;
#endif
	return entry & ~0xFFFu;
}

#define FRAME(entry) (entry_address(entry) >> 12)

/* A single read of an entry that the Guest or a device may change at any time; with PAE, of each half. */
static inline pte_t read_entry(const volatile pte_t *entry)
{
	return *entry;
}

#endif
