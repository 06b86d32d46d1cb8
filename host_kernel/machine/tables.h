/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CPU's descriptor tables: the Host's, and the fixed part of the Guest's. */
#ifndef HOST_KERNEL_MACHINE_TABLES_H
#define HOST_KERNEL_MACHINE_TABLES_H
#include "switcher/layouts/lguest_pages.h"

void tables_init(void);
void tables_load(void);
void tables_load_ldt(u32 selector);
u64 gate_to(u32 handler, u32 dpl);

/* The IDT that the CPU uses while the Guest runs. */
#define TYPE_INTERRUPT 0xE00u
#define TYPE_TRAP      0xF00u
#define DPL_1          0x2000u
void guest_idt_init(void);
void guest_idt_set(u32 vector, u32 selector, u32 offset, u32 flags);
void guest_idt_to_switcher(u32 vector, u32 dpl);

#endif
