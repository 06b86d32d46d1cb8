/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A printf-like formatter, and the memory routines that gcc calls.  Formats: %s %c %u %x, with a width, 0 and #. */
#ifndef HOST_KERNEL_BASE_PRINT_H
#define HOST_KERNEL_BASE_PRINT_H
#include <stdarg.h>
#include "switcher/layouts/types.h"

int format(char *out, u32 size, const char *text, ...) __attribute__((format(printf, 3, 4))); /* returns the length */
int format_list(char *out, u32 size, const char *text, va_list values);
void debug(const char *text, ...) __attribute__((format(printf, 1, 2)));
void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

#endif
