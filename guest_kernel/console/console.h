/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console: early text at first, then virtio. */
#ifndef CONSOLE_H
#define CONSOLE_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

void console_init(void); /* look for the virtio console; without one there is no input */
bool console_has_input(void);
void console_write(const char *text, u32 count);
void console_flush(void);
struct device *console_device(void); /* NULL when there is none */
int console_read(void); /* the next byte; waits for it. -1: there is no console to read */

#endif
