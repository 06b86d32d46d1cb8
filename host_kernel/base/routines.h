/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sequences of instructions that C cannot express (routines.S). */
#ifndef HOST_KERNEL_BASE_ROUTINES_H
#define HOST_KERNEL_BASE_ROUTINES_H
#include "switcher/layouts/lguest_pages.h"

void load_tables(const struct table_register *gdt, const struct table_register *idt);
void load_ldt_register(u32 selector);
void wait_for_interrupt(void);

#endif
