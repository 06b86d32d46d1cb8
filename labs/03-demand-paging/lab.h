/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this lab share.  Read before: demand.c. */
#ifndef LAB_H
#define LAB_H
#include "labs/small/small.h"

#define PAGE_SIZE         4096u
#define ENTRIES_PER_TABLE 1024u
#define PDE_SHIFT         22 /* a page directory entry maps 4 MiB */

/* In an entry of a page table, and of a page directory. */
#define PTE_PRESENT 0x1u
#define PTE_WRITE   0x2u
#define PTE_FRAME   0xFFFFF000u

/* In the error code of a page fault. */
#define FAULT_PRESENT 0x1u /* the page is there, and does not allow this access */
#define FAULT_WRITE   0x2u /* it was a write */

#define HEAP_START 0x40000000u
#define HEAP_END   0x41000000u

/* demand.c */
bool page_fault(u32 address, u32 error);

/* proof.c: calls page_fault(). */
bool handle_fault(u32 address, u32 error);

/* paging.c: the page directory, its physical address; RAM is mapped at its physical addresses. */
extern u32 page_directory[ENTRIES_PER_TABLE];
void paging_init(void);
u32 frame_alloc(void); /* the physical address of a frame, which has what it had before in it; 0: there is none left */
u32 frames_used(void);

/* fault.S: an access that may be wrong.  False: page_fault() said so. */
extern const char fault_entry[];
bool try_read(const volatile u32 *from, u32 *value);
bool try_write(volatile u32 *to, u32 value);

#endif
