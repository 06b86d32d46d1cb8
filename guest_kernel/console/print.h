/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formatted text to the console. */
#ifndef PRINT_H
#define PRINT_H

/* %s %c %d %u %x %%, with a width, 0 or - before it, and # before x. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
