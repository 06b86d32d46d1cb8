/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes, strings, and the one 64-bit division. */
#ifndef TEXT_H
#define TEXT_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

void *memory_set(void *to, int byte, u32 count);
void *memory_copy(void *to, const void *from, u32 count);
u32 text_length(const char *text);
bool text_equal(const char *a, const char *b);
bool text_starts(const char *text, const char *start);
bool text_contains(const char *text, const char *part);
u32 text_copy(char *to, const char *from, u32 room); /* always ends with NUL; the length copied */
/* A decimal number and nothing else; false when it is none or above 2^32 - 1. */
bool text_number(const char *text, u32 *number);

/* quotient = value / divisor; the remainder comes back. divisor is not 0. */
u32 divide64(u64 value, u32 divisor, u64 *quotient);

#endif
