/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time since the start, the Host's wall clock, and the one-shot clock interrupt. */
#ifndef CLOCK_H
#define CLOCK_H
#include "switcher/layouts/types.h"

#define CLOCK_NEVER    0xFFFFFFFFFFFFFFFFull
#define NS_PER_MS      1000000u
#define NS_PER_SECOND  1000000000u
#define TICK_NS        10000000u /* a program's turn, while others wait */

void clock_init(void);
u64 clock_tsc(void);
u64 clock_ns(void);
u32 clock_ms(void);
/*
 * Have the clock interrupt at deadline (as clock_ns counts), or some time before. An asynchronous call: the next
 * synchronous one takes it along.
 */
void clock_arm(u64 deadline);
void clock_wall(u32 *seconds, u32 *nanoseconds); /* since 1970 */

#endif
