/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The early console: output before the virtio console is found, and on a machine without one. */
#ifndef EARLY_H
#define EARLY_H

void early_write(char character);
void early_flush(void);

#endif
