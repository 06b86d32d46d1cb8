/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page tables. A directory is named by its physical address, as the Host wants it. */
#ifndef PAGING_H
#define PAGING_H
#include "guest_kernel/memory/memory.h"

#define PTE_PRESENT  0x01
#define PTE_WRITE    0x02
#define PTE_USER     0x04
#define PTE_ACCESSED 0x20
#define PTE_DIRTY    0x40
#define PTE_FRAME    0xFFFFF000

#define KERNEL_SLOT  (KERNEL_OFFSET >> 22) /* from here on all directories agree */
#define SWITCHER_SLOT 1023                 /* not ours */

void paging_init(void);
u32 paging_kernel(void); /* the directory with no programs in it */

u32 directory_new(void); /* 0 when there is no memory */
void directory_free(u32 directory); /* with all user pages and tables; not the one in use */
u32 *directory_words(u32 directory);
/* The entry for an address; NULL when its table is not there (and, with create, cannot be made). */
u32 *page_entry(u32 directory, u32 address, bool create);
bool page_set(u32 directory, u32 address, u32 entry); /* and tells the Host */

void *device_pointer(u32 address, u32 bytes); /* physical, in RAM or the device pages; NULL for anywhere else */

#endif
