/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console: the early console, which needs no device, then the virtio console. */
#ifndef CONSOLE_H
#define CONSOLE_H
#include "guest_kernel/base/print.h"
#include "guest_kernel/bus/device.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define CONSOLE_FEATURE_SIZE 1u

extern const struct print_sink console_sink;

void console_init(void); /* opens the virtio console, again if need be; without one there is no input */
bool console_has_input(void);
void console_write(const char *text, u32 count);
void console_flush(void);
void console_drain(void); /* and waits until the Host has taken all of it */
struct virtio_device *console_device(void); /* NULL when there is none */
int console_read(void); /* the next byte; waits for it. -1: there is no device */

#endif
