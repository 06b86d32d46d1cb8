/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entry points of the Host kernel's IDT (entries.S). */
#ifndef HOST_KERNEL_MACHINE_ENTRIES_H
#define HOST_KERNEL_MACHINE_ENTRIES_H
#include "switcher/layouts/types.h"

void ignore_entry(void), debug_entry(void);
void timer_entry(void);
void doorbell_entry(void);
extern const u32 exception_entries[32];

#endif
