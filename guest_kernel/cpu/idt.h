/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IDT entries, which the Host writes for the kernel. */
#ifndef IDT_H
#define IDT_H
#include "switcher/layouts/types.h"

/* Access bytes of a gate: present, DPL, type. */
#define GATE_INTERRUPT 0x8E
#define GATE_TRAP      0x8F
#define GATE_TASK      0x85
#define GATE_DPL3      0x60

/* Loads an entry. A NULL handler of type 0 empties it. */
void idt_set_gate(u32 vector, const void *handler, u32 type_and_dpl);
void idt_set_gate_async(u32 vector, const void *handler, u32 type_and_dpl);

#endif
