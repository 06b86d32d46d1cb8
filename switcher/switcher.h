/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two Switchers offer to C: one world switch, and their ways in.  Read next: switcher.S, lean.S. */
#ifndef SWITCHER_SWITCHER_H
#define SWITCHER_SWITCHER_H
#include "switcher/layouts/lguest_pages.h"

u32 switch_to_guest(void);
u32 switch_to_guest_lean(void);
extern const u32 classic_entries[IDT_ENTRIES], lean_entries[IDT_ENTRIES];

#endif
