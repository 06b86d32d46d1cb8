/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time since boot, the wall clock, and the one-shot clock interrupt. */
#ifndef CLOCK_H
#define CLOCK_H
#include "switcher/layouts/types.h"

#define CLOCK_NEVER    0xFFFFFFFFFFFFFFFFull
#define NS_PER_US      1000u
#define NS_PER_MS      1000000u
#define NS_PER_SECOND  1000000000u

void clock_init(void);
u64 clock_ns(void);
u32 clock_ms(void);
/*
 * Arms the clock interrupt for a deadline in clock_ns() time; it may come earlier. This is an asynchronous hypercall:
 * it takes effect at the next synchronous one.
 */
void clock_arm(u64 deadline);
void clock_wall(u32 *seconds, u32 *nanoseconds); /* since 1970 */

#endif
