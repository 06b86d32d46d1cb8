/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one Guest, as the Host kernel's core knows it.  Addresses in it are the Guest's (physical or virtual), never the
 * Host's.  Read next: personality.h.
 */
#ifndef HOST_KERNEL_BASE_GUEST_H
#define HOST_KERNEL_BASE_GUEST_H
#include "host_kernel/base/host.h"

#define LINEAR_MAP 0xFFFFFFFFu /* guest.directory until the Guest has page tables; no page has this address */

struct lguest_data;

struct guest {
	struct registers *regs;
	u32 directory;   /* physical; LINEAR_MAP at first */
	u32 cr2;         /* of the last page fault taken */
	u32 dr6;         /* as it would read the debug status register */
	bool halted;     /* asleep until an interrupt can be delivered */
	bool ts;         /* CR0.TS while it runs */
	u32 pending;     /* bit n: virtual interrupt n was raised and not delivered */
	u64 idt[IDT_ENTRIES]; /* as it loaded them */
	u64 clock_deadline;   /* TSC at which its clock is due; 0: never; clock_set_deadline() sets it */
	u32 limit;            /* end of what it may map: RAM and device pages */
	bool strict;          /* a page-table entry that a paravirtualised kernel must not make kills */
	bool large_pages;     /* CR4.PSE: directory entries may map 4 MiB */
	bool write_protect;   /* CR0.WP: read-only holds in ring 1 too */

	/* The lguest personality's own. */
	struct lguest_data *data; /* NULL before LGUEST_INIT */
	u32 kernel_address;       /* above it all directories agree */
	u32 noirq_start, noirq_end;
	u32 ring_cursor;          /* next entry of the asynchronous ring */
	u32 lguest_data_mapped;            /* where the lean Switcher has lguest_data; 0: nowhere */
};

extern struct guest guest;

#endif
