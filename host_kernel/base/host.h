/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every file of the Host kernel may use: the machine's description, the mailbox and the Switcher's pages.
 * Read before: machine.h, switcher/layouts/lguest_pages.h.  Read next: guest.h.
 * Next in the book: guest.h.
 */
#ifndef HOST_KERNEL_BASE_HOST_H
#define HOST_KERNEL_BASE_HOST_H
#include <stdbool.h>
#include "switcher/layouts/machine.h"
#include "switcher/layouts/lguest_pages.h"

#define PAGE_BYTES 4096u

extern struct machine machine; /* a copy: the original is in unreserved memory */
extern struct mailbox *const mailbox;
static struct lguest_state *const state = (struct lguest_state *)SWITCHER_STATE_PAGE; /* writable in the Host's tables */
static struct untrusted *const untrusted = (struct untrusted *)SWITCHER_STACK_PAGE;

extern u32 (*world_switch)(void);   /* of the Switcher that machine.switcher selects; returns the frame's address */
extern const u32 *switcher_entries; /* its entry points, by vector */
extern u32 switcher_return;         /* its return by a second frame: eip, in ring 0 (host_kernel/machine/second_return.c) */

static inline bool is_lean(void)
{
	return machine.switcher == SWITCHER_LEAN;
}

/* The Switcher answers nothing, until the next entry of the Guest prepares that again. */
static inline void no_fast_paths(void)
{
	state->fast_path = state->kernel_cs = state->iret_ss = untrusted->iret_ss = 0;
}

#endif
