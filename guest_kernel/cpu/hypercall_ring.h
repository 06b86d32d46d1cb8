/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asynchronous hypercalls: entries of the ring in lguest_data. The Host drains the ring before it handles the next
 * synchronous hypercall.
 */
#ifndef HYPERCALL_RING_H
#define HYPERCALL_RING_H
#include "switcher/layouts/types.h"

/* Queues a hypercall. With the ring full it is made synchronously. */
void hypercall_async(u32 nr, u32 arg1, u32 arg2, u32 arg3, u32 arg4);
u32 hypercall_ring_cursor(void); /* the entry that the next hypercall_async() fills */
void hypercall_ring_skip(u32 entries); /* for a test that fills entries itself */

#endif
