/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Demand paging of a program's address space: guest_kernel/base/layout.h has the map. */
#ifndef DEMAND_H
#define DEMAND_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* Handles a page fault: maps a page at an address that may have one and has none. False for any other fault. */
bool demand_page(u32 directory, u32 address);

#endif
