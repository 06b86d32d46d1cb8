/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers that look random, and are the same again for the same seed. */
#ifndef RANDOM_H
#define RANDOM_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

void random_seed(u32 seed);
u32 random_below(u32 limit); /* at most 2^24 */
bool rarely(u32 one_of);     /* true once in so many times */

#endif
