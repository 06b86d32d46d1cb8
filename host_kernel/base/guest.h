/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest, as both personalities know it: what the Host kernel remembers of it from one exit to the next.  Its registers
 * are on the Switcher's stack page, where the last exit pushed them.  Addresses in it are Guest-physical or Guest-virtual,
 * not the Host's.
 * Read next: personality.h.
 * Next in the book: personality.h.
 */
#ifndef HOST_KERNEL_BASE_GUEST_H
#define HOST_KERNEL_BASE_GUEST_H
#include "host_kernel/base/host.h"


struct lguest_data;

struct guest {
	struct registers *regs;
	u32 directory;   /* physical address of its page directory, or PDPT; LINEAR_MAP at first */
	u32 cr2;         /* of the last page fault */
	bool halted;     /* until an interrupt is injected */
	bool ts;         /* CR0.TS while it runs */
	u32 pending;     /* bit n: virtual interrupt n is pending */
	u64 idt[IDT_ENTRIES]; /* its gates, as it loaded them */
	u64 clock_deadline;   /* TSC at which its clock is due; 0: never; clock_set_deadline() sets it */
	u32 limit;            /* end of what it may map: RAM and device pages */
	u32 io_pages[2];      /* physical addresses of pages with registers that are not of BARs; 0: none */
	bool unlinked;        /* a shadow page table was unlinked since this was cleared */
	bool strict;          /* an invalid page-table entry kills it: a paravirtualised kernel must not make one */
	bool large_pages;     /* CR4.PSE: directory entries may map 4 MiB */
	bool write_protect;   /* CR0.WP: a read-only page is read-only for its kernel too */
	u32 global;           /* PTE_G, or 0 while CR4.PGE is clear: a page-table entry with it outlives a load of CR3 */
	bool nx;              /* EFER.NXE */
	u32 reserved_high;    /* PAE: bits that must be clear in the upper half of a present entry */
	u32 pdptes[4];        /* PAE: as a load of CR3 found them: the address of a page directory and P; 0: there is none */

	/* Of the lguest personality. */
	struct lguest_data *data; /* NULL before LGUEST_INIT */
	u32 kernel_address;       /* from here on all its page directories have the same entries */
	u32 noirq_start, noirq_end;
	u32 syscall_vec;          /* the vector of its system calls */
	u32 ring_cursor;          /* next entry of the asynchronous ring */
	u32 lguest_data_mapped;   /* the address of lguest_data in SWITCHER_DATA_PAGE; 0: not mapped */
};

extern struct guest guest;

#endif
