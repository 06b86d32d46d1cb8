/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formatted text. The program that links this file says where the text goes. */
#ifndef PRINT_H
#define PRINT_H
#include "switcher/layouts/types.h"

struct print_sink {
	void (*write)(const char *text, u32 count);
	void (*flush)(void); /* sends text that write() has buffered */
};

void print_to(const struct print_sink *sink); /* before the first print() */

/* %s %c %d %u %x %%, with a width, 0 or - before it, and # before x. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void print_flush(void);

#endif
