/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page tables. A page directory is identified by its physical address, as in hypercalls. */
#ifndef PAGING_H
#define PAGING_H
#include "guest_kernel/base/layout.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* Flags of a page table entry and of a page directory entry. */
#define PTE_PRESENT  0x001
#define PTE_WRITE    0x002
#define PTE_USER     0x004
#define PTE_ACCESSED 0x020
#define PTE_DIRTY    0x040
#define PTE_LARGE    0x080 /* a page of 4 MiB, in a page directory entry */
#define PTE_GLOBAL   0x100
#define PTE_FRAME    0xFFFFF000

#define KERNEL_SLOT   (KERNEL_OFFSET >> PDE_SHIFT) /* all page directories agree from this entry on */
#define SWITCHER_SLOT 1023                         /* the Host's entry */

void paging_init(void);
u32 kernel_page_directory(void); /* maps no program */

u32 page_directory_new(void); /* 0 when there is no memory */
void page_directory_free(u32 directory); /* with its user pages and page tables; not the current one */
u32 *page_directory_entries(u32 directory);
/* The entry of an address. NULL when there is no page table, or with `create` no memory for one. */
u32 *pte_lookup(u32 directory, u32 address, bool create);
bool pte_set(u32 directory, u32 address, u32 entry); /* and informs the Host */

void *device_map(u32 address, u32 bytes); /* maps what is above RAM, for good; NULL: there are no addresses left */

/* The page directory and the page table of the first 4 MiB that start.S fills and loads. */
extern u32 boot_page_directory[], boot_page_table[];

#endif
