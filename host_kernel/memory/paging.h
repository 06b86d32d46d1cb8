/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The format of page tables and of a page fault's error code.  Source: Intel SDM vol. 3, 4.3 and 4.7. */
#ifndef HOST_KERNEL_MEMORY_PAGING_H
#define HOST_KERNEL_MEMORY_PAGING_H
#include "switcher/layouts/lguest_pages.h"

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

#define ENTRIES 1024u
#define FRAME(entry) ((entry) >> 12)
#define INDEX(address) ((address) >> 22)                /* in a page directory */
#define SUBINDEX(address) (((address) >> 12) % ENTRIES) /* in a page table */
#define SWITCHER_INDEX INDEX(SWITCHER_BASE)

#endif
