/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A linear congruential generator, of which the high bits are used. */
#include "guest_kernel/faults/random.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

static u32 state;

void random_seed(u32 seed)
{
	state = seed;
}

u32 random_below(u32 limit)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % limit;
}

bool rarely(u32 one_of)
{
	return !random_below(one_of);
}
