/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory, strings and 64-bit division, without a C library. */
#ifndef TEXT_H
#define TEXT_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

void *memory_set(void *to, int byte, u32 count);
void *memory_copy(void *to, const void *from, u32 count);
bool text_is_space(char character); /* between words */
u32 text_length(const char *text);
bool text_equal(const char *a, const char *b);
bool text_starts(const char *text, const char *start);
bool text_contains(const char *text, const char *part);
u32 text_copy(char *to, const char *from, u32 room); /* truncates; always terminates; returns the length */
/* Parses a decimal number. False for any other text and above 2^32 - 1. */
bool text_number(const char *text, u32 *number);

/* Divides by a divisor that is not 0; returns the remainder. */
u32 divide64(u64 value, u32 divisor, u64 *quotient);

#endif
