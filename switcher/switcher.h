/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two Switchers as C sees them: the world switch, and the entry points for the Guest's IDT.  Read next: switcher.S, lean.S. */
#ifndef SWITCHER_SWITCHER_H
#define SWITCHER_SWITCHER_H
#include "switcher/layouts/lguest_pages.h"

u32 switch_to_guest(void);
u32 switch_to_guest_lean(void);
extern const u32 classic_entries[IDT_ENTRIES], lean_entries[IDT_ENTRIES];
extern const u8 classic_return[], lean_return[];

#endif
