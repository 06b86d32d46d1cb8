/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults that fill the shadow and stay hidden from the Guest. */
#ifndef HOST_KERNEL_MEMORY_FAULT_H
#define HOST_KERNEL_MEMORY_FAULT_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

bool demand_page(u32 address, u32 access, u32 *error);

#endif
