/* SPDX-License-Identifier: GPL-2.0-or-later */
/* To stand still, and to go on in another machine. */
#ifndef HOST_KERNEL_MACHINE_SAVED_H
#define HOST_KERNEL_MACHINE_SAVED_H
#include <stdbool.h>
#include "switcher/layouts/machine.h"

#define SAVED_FEATURES (sizeof(saved_processor.features) / sizeof(u32))

extern struct saved_processor saved_processor;

void stand_still(bool (*not_yet)(void));
extern void (*after_standing_still)(void);
bool saved_fits(void);
bool save_processor(void);

#endif
